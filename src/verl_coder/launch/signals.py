"""The signals that ask a command to end: noted as they come, and acted on when there is time for it."""

import os
import signal
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, Self

SAVING = (signal.SIGTERM, signal.SIGHUP)
"""Where something can be saved, these let it be saved first: the system's wish, and a terminal that is closed."""
SAME_S = 2.0
"""A batch system sends SIGTERM to every process of a job: what others hand on of it comes within this time."""


class EndSignals:
    """Context manager: SIGINT, SIGTERM and SIGHUP are noted in place of what they do. `take` gives the next one.

    A SIGHUP that is ignored (nohup) stays ignored. Of one within another, the outer gets what the inner has not taken.
    """

    def __init__(self, numbers: Sequence[signal.Signals] = (signal.SIGINT, *SAVING)) -> None:
        self._numbers = numbers
        self._noted: list[tuple[signal.Signals, float]] = []
        self._taken_at: float | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> Self:
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        for number in self._numbers:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        for number, at in self._noted:
            outer = getattr(self._previous[number], "__self__", None)
            if isinstance(outer, EndSignals):
                outer._noted.append((number, at))

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._noted.append((signal.Signals(number), time.monotonic()))
        self._leave_terminals()

    def _leave_terminals(self) -> None:
        """A terminal that has gone answers every write with an error, in the middle of what is to be saved."""
        for terminal in [number for number in self._terminals if not os.isatty(number)]:
            self._terminals.remove(terminal)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, terminal)
            os.close(nowhere)

    def take(self) -> signal.Signals | None:
        """The first that has not been taken, None where there is none; a repetition of one that `saves` is none."""
        self._leave_terminals()
        while self._noted:
            number, at = self._noted.pop(0)
            repeated = self._taken_at is not None and number in SAVING and at - self._taken_at < SAME_S
            if not repeated:
                self._taken_at = at if number in SAVING else None
                return number
        return None

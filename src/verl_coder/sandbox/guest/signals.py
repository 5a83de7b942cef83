"""The program's own signal handlers, called through a gate: it is shut while the program waits for a command.

A handler that raises in the middle of our own work would take a command, or its answer, along.
"""

import _signal
import bdb
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

_NOT_THE_PROGRAM = (os.path.dirname(__file__), bdb.__file__)


class SignalGate:
    """From `stand` on, whatever the program installs is called through here; SIGINT is left to the server."""

    def __init__(self) -> None:
        self.shut = True
        """An attribute, since on the way into a function a handler could still raise."""
        self.when_raised: Callable[[], None] = lambda: None
        """Called where a handler raises."""
        self._late: dict[int, None] = {}

    def stand(self) -> None:
        """Take the place of what `signal.signal` and `signal.getsignal` call."""
        install, installed = _signal.signal, _signal.getsignal

        def install_through(number: int, handler: Any) -> Any:
            through = _Through(self, handler) if callable(handler) and number != signal.SIGINT else handler
            return _own(install(number, through))

        _signal.signal = install_through  # type: ignore[assignment]
        _signal.getsignal = lambda number: _own(installed(number))  # type: ignore[assignment]

    def open(self) -> None:
        """Handlers are called from now on, first for the signals that came meanwhile; raises what they do."""
        self.shut = False
        raised: BaseException | None = None
        while self._late:
            number = next(iter(self._late))
            del self._late[number]
            try:
                signal.raise_signal(number)
            except BaseException as error:  # the others are called all the same
                raised = error
        if raised is not None:
            raise raised

    def keep(self, number: int) -> None:
        """A signal came while the gate is shut."""
        self._late[number] = None


class _Through:
    """A handler of the program's behind the gate."""

    def __init__(self, gate: SignalGate, handler: Callable[[int, FrameType | None], Any]) -> None:
        self._gate, self.handler = gate, handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._gate.shut:
            return self._gate.keep(number)
        try:
            self.handler(number, _of_program(frame))
        except BaseException:
            self._gate.when_raised()
            raise


def _of_program(frame: FrameType | None) -> FrameType | None:
    """The frame that was interrupted, as the program would know it."""
    found = frame
    while found is not None and found.f_code.co_filename.startswith(_NOT_THE_PROGRAM):
        found = found.f_back
    return found or frame


def _own(handler: Any) -> Any:
    """What the program itself had installed."""
    return handler.handler if isinstance(handler, _Through) else handler

"""Between two commands a session may compute a little; one that goes on computing stands still until the next."""

import os
import signal
from collections.abc import Callable, Sequence

from verl_coder.sandbox.guest import leftovers

_REST_CPU_S = 2.0
"""In all: a share of a core would depend on how many others compute."""
_TURNS = 20
"""To stop processes that fork meanwhile."""


class Stillness:
    """Of one program: what it computes while nobody waits for it, and its processes that were stopped for that."""

    def __init__(self) -> None:
        self._from_cpu_s: float | None = None
        self._last_cpu_s = 0.0
        self._stopped: set[int] = set()

    def look(self, pids: Callable[[], Sequence[int]]) -> None:
        """To be called every second or so while the program rests."""
        if self._stopped:
            return
        # With that of processes that have ended and were reaped here: a chain of forks computes as well.
        cpu_s = leftovers.cpu_s_in_use(pids()) + leftovers.cpu_s_of_reaped()
        if self._from_cpu_s is None:
            self._from_cpu_s = cpu_s
        elif cpu_s - self._from_cpu_s > _REST_CPU_S and cpu_s > self._last_cpu_s:
            # Short commands, of which nobody tells, have added to it: only what computes now is stopped.
            self._stop(pids)
        self._last_cpu_s = cpu_s

    def _stop(self, pids: Callable[[], Sequence[int]]) -> None:
        seen = {os.getpid()}
        for _ in range(_TURNS):
            unseen = {*pids()} - seen
            if not unseen:
                return
            seen |= unseen
            for pid in unseen:
                if not leftovers.is_in_state(pid, "T"):  # else the program itself has stopped it
                    leftovers.kill(pid, signal.SIGSTOP)
                    self._stopped.add(pid)

    def wake(self) -> None:
        """A command is there: all goes on, and may compute as much again when it rests."""
        for pid in self._stopped:
            leftovers.kill(pid, signal.SIGCONT)
        self.forget()

    def forget(self) -> None:
        """The program has ended."""
        self._from_cpu_s = None
        self._stopped.clear()

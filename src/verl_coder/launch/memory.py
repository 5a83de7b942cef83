"""How much memory a run takes: the proportional set size of all its processes, sampled."""

import time

import psutil

_EVERY_S = 2.0


class MemoryWatch:
    """Call `poll` often; `peak_bytes` is the highest sum over this process's descendants so far.

    Proportional set size counts a page shared by n processes as 1/n of it in each, so that the sum is what
    the run really takes (resident set sizes would count Ray's object store once per process).
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._next = 0.0

    def poll(self) -> None:
        """Take a sample if the last one is old enough."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        total = 0
        for process in psutil.Process().children(recursive=True):
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        self.peak_bytes = max(self.peak_bytes, total)

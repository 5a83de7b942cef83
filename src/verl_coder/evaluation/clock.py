"""Where the wall time goes: seconds in which the model writes, and seconds in which only grading is left."""

import time
from collections.abc import Hashable


class WorkClock:
    """Counts what is in work; `waiting_s` is the time in which nothing was written and something graded."""

    def __init__(self) -> None:
        self.generating = 0
        self.grading = 0
        self.generating_s = 0.0
        self.waiting_s = 0.0
        self._begun: dict[Hashable, float] = {}
        self._since = time.monotonic()
        self._started = self._since

    def begin(self, key: Hashable) -> None:
        """A trajectory begins."""
        self._count()
        self._begun[key] = self._since
        self.generating += 1

    def end(self, key: Hashable) -> None:
        """A trajectory that has begun ends."""
        self._count()
        del self._begun[key]
        self.generating -= 1

    @property
    def longest_s(self) -> float | None:
        """For how long the oldest trajectory has been written; None where none is."""
        return time.monotonic() - min(self._begun.values()) if self._begun else None

    def change_grading(self, change: int) -> None:
        """A grading begins (+1) or ends (-1)."""
        self._count()
        self.grading += change

    @property
    def wall_s(self) -> float:
        """Since the clock was made."""
        return time.monotonic() - self._started

    def _count(self) -> None:
        now = time.monotonic()
        if self.generating:
            self.generating_s += now - self._since
        elif self.grading:
            self.waiting_s += now - self._since
        self._since = now

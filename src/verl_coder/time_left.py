"""How long answers that are asked for side by side still take; of the last ones, how many are open."""

import time
from collections import deque
from collections.abc import Callable

_SLOW = 10
"""The last one of so many is no measure of the others, nor they of it."""
_RECENT = 10
"""Ends by which the pace of late is measured: towards the end only the slow ones are left."""


class Pace:
    """Of a number that grows to a known one. Give it every change by `see`."""

    def __init__(self, done: int = 0, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._first = (now(), done)
        self._ends = deque([self._first], maxlen=_RECENT)
        """(when, how many were done)"""

    def see(self, done: int) -> None:
        """So many are done now."""
        if done != self._ends[-1][1]:
            self._ends.append((self._now(), done))

    def left_s(self, of: int) -> float | None:
        """Seconds until all are done; None where none has ended yet, and where the next one is overdue by the pace.

        The slower counts of the pace of all and that of late.
        """
        at, done = self._ends[-1]
        paces = [(at - since) / (done - were) for since, were in (self._first, self._ends[0]) if done > were]
        left = (of - done) * max(paces, default=0.0) - (self._now() - at)
        return left if left > 0 else None

    def words(self, of: int, *, longest_s: float | None = None, waiting: bool = True) -> str:
        """`about 3 min left`, or `2 still open, the longest for 4 min`; empty where nothing is known yet.

        `longest_s`: for how long the oldest of those that are asked for has been. `waiting`: whether more are to be
        asked for; without, the last tenth are the slow ones, which the pace of the others says nothing of.
        """
        at, done = self._ends[-1]
        slow = longest_s is not None and not waiting and _SLOW * (of - done) <= of
        left = None if slow else self.left_s(of)
        if left is not None:
            return f"about {duration(left)} left"
        if done >= of or (done <= self._first[1] and (waiting or longest_s is None)):
            return ""
        since = f"none ended for {duration(self._now() - at)}"
        return f"{of - done} still open, " + (
            since if longest_s is None else f"the longest for {duration(longest_s)}"
        )


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `2 d 04 h`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"

"""What can end a test in the judge, and the alarm that ends it in time."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class TestTimedOut(BaseException):
    """The test's time is up; raised by the alarm, past any `except Exception` of a test."""

    __test__ = False


class CandidateLost(BaseException):
    """The solution's process ended before it answered."""


class RemoteError(Exception):
    """An exception of the solution whose type the judge does not know."""


class Unsplittable(Exception):
    """The test needs something of the solution in the judge, or of the judge in the solution."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TestTimedOut in the block after `seconds` of wall time."""

    def on_alarm(signum: int, frame: Any) -> None:
        raise TestTimedOut

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

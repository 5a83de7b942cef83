"""The process has one alarm (SIGALRM), and the judge and the tests both set one: here each has its own.

Covered: `alarm`, `setitimer`, `getitimer`, `signal`, `getsignal` and `pthread_sigmask`, by whatever library. Not
covered: `sigwait` and the like, which would take the judge's alarm, and the alarm of C by `ctypes`.
"""

import _signal
import math
import sys
import time
from collections.abc import Callable, Set
from types import CodeType
from typing import Any

_ALARM = _signal.SIGALRM
_EARLY_S = 0.001
"""Of the kernel's clock beside Python's."""
_EXCHANGE_S = 1e-4
"""What it takes to ask another process rather than to call a function of one's own."""
_signal_of_c, _getsignal = _signal.signal, _signal.getsignal
_setitimer, _getitimer, _sigmask = _signal.setitimer, _signal.getitimer, _signal.pthread_sigmask


class _Alarms:
    """What rings when; the tests' alarm is heard within a limit of the judge's only."""

    limit_at = math.inf
    set_at = limit_s = most_s = 0.0
    exchanges = 0
    on_limit: Callable[[str], None] | None = None
    tests_at = math.inf
    interval_s = 0.0
    handler: Any = _signal.SIG_DFL
    own_files: Set[str] = frozenset()
    asking: Set[CodeType] = frozenset()


def begin_limit(
    seconds: float,
    most_s: float,
    on_limit: Callable[[str], None],
    own_files: Set[str],
    asking: Set[CodeType],
) -> None:
    """Call `on_limit("")` after `seconds`, or with words where the tests' own alarm ends the test before.

    For each of its exchanges a test has a moment longer, up to `most_s` in all. `own_files` are the names of the files
    of the tests' code, `asking` is the code that talks with the solution.
    """
    _Alarms.set_at, _Alarms.limit_s, _Alarms.most_s = time.monotonic(), seconds, max(seconds, most_s)
    _Alarms.exchanges = 0
    _Alarms.limit_at, _Alarms.on_limit = _Alarms.set_at + seconds, on_limit
    _Alarms.own_files, _Alarms.asking = own_files, asking
    # Not by `signal.signal`, which makes an enumeration's member of each number: a test may cost less.
    _signal_of_c(_ALARM, _ring)
    _arm()


def end_limit() -> None:
    """Nothing rings any more, nor does an alarm that the tests left behind."""
    _Alarms.on_limit = None
    _Alarms.limit_at = _Alarms.tests_at = math.inf
    _setitimer(_signal.ITIMER_REAL, 0)


def note_exchange() -> None:
    """A message goes to the solution, and its answer comes back."""
    _Alarms.exchanges += 1


def _limit_with_exchanges() -> float:
    seconds = _Alarms.limit_s + _Alarms.exchanges * _EXCHANGE_S
    return _Alarms.set_at + min(seconds, _Alarms.most_s)


def part_alarms() -> None:
    """Give what runs in this process from now on an alarm beside the judge's."""
    for module in filter(None, (_signal, sys.modules.get("signal"))):
        for function in (alarm, setitimer, getitimer):
            setattr(module, function.__name__, function)
    # Those of `signal` call these.
    _signal.signal, _signal.getsignal, _signal.pthread_sigmask = _handle, _handler_of, _mask  # type: ignore[assignment]


def _arm() -> None:
    at = min(_Alarms.limit_at, _Alarms.tests_at)
    _setitimer(_signal.ITIMER_REAL, 0 if at == math.inf else max(at - time.monotonic(), 1e-6))


def _ring(signum: int, frame: Any) -> None:
    on_limit = _Alarms.on_limit
    if on_limit is None:
        return
    now = time.monotonic() + _EARLY_S
    if _Alarms.limit_at <= now < _limit_with_exchanges():
        _Alarms.limit_at = _limit_with_exchanges()
        _arm()
    elif _Alarms.limit_at <= now:
        _Alarms.limit_at = math.inf
        _arm()
        on_limit("")
    elif _Alarms.tests_at <= now:
        _Alarms.tests_at = now + _Alarms.interval_s if _Alarms.interval_s else math.inf
        _arm()
        _ring_for_tests(frame, on_limit)
    else:
        _arm()


def _ring_for_tests(frame: Any, on_limit: Callable[[str], None]) -> None:
    handler = _Alarms.handler
    if handler == _signal.SIG_DFL:
        on_limit("the tests' own alarm rang, and they do not handle it")
    elif callable(handler):
        try:
            handler(int(_ALARM), frame)
        except BaseException:
            if _asks(frame):
                on_limit("the tests' own alarm rang before the solution answered")
            raise


def _asks(frame: Any) -> bool:
    """Whether what is interrupted is the talk with the solution, and no function of the tests that it called."""
    while frame is not None and frame.f_code.co_filename not in _Alarms.own_files:
        if frame.f_code in _Alarms.asking:
            return True
        frame = frame.f_back
    return False


def _left_s() -> float:
    return 0.0 if _Alarms.tests_at == math.inf else max(_Alarms.tests_at - time.monotonic(), 1e-6)


def alarm(seconds: int, /) -> int:
    """`signal.alarm`."""
    before = math.ceil(_left_s())
    _set(int(seconds), 0.0)
    return before


def setitimer(which: int, seconds: float, interval: float = 0.0, /) -> tuple[float, float]:
    """`signal.setitimer`."""
    if which != _signal.ITIMER_REAL:
        return _setitimer(which, seconds, interval)
    if seconds < 0 or interval < 0:
        raise _signal.ItimerError(22, "Invalid argument")
    before = getitimer(which)
    _set(seconds, interval)
    return before


def getitimer(which: int, /) -> tuple[float, float]:
    """`signal.getitimer`."""
    return (_left_s(), _Alarms.interval_s) if which == _signal.ITIMER_REAL else _getitimer(which)


def _set(seconds: float, interval: float) -> None:
    _Alarms.tests_at = time.monotonic() + seconds if seconds > 0 else math.inf
    _Alarms.interval_s = interval
    _arm()


def _handle(signum: int, handler: Any, /) -> Any:
    if signum != _ALARM:
        return _signal_of_c(signum, handler)
    if not callable(handler) and handler not in (_signal.SIG_DFL, _signal.SIG_IGN):
        raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
    before, _Alarms.handler = _Alarms.handler, handler
    return before


def _handler_of(signum: int, /) -> Any:
    return _Alarms.handler if signum == _ALARM else _getsignal(signum)


def _mask(how: int, mask: Any, /) -> Any:
    return _sigmask(how, {number for number in mask if number != _ALARM})

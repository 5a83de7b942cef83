"""The signals that ask for an end: none is lost, and one that comes by several ways is one."""

import signal
from types import SimpleNamespace

import pytest

from verl_coder.launch import signals as signals_module
from verl_coder.launch.signals import SAME_S, SAVING, EndSignals


class Clock:
    """The time that the signals are noted at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(signals_module, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_each_signal_is_taken_once_and_the_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, *SAVING)]
    for number in (signal.SIGINT, *SAVING):
        with EndSignals() as signals:
            assert signals.take() is None
            signal.raise_signal(number)
            assert signals.take() is number
            assert signals.take() is None
    assert [signal.getsignal(number) for number in (signal.SIGINT, *SAVING)] == before


def test_what_comes_soon_after_the_first_is_the_same_one(clock: Clock) -> None:
    with EndSignals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert signals.take() is signal.SIGTERM
        for number in SAVING:
            clock.now += SAME_S / 4
            signal.raise_signal(number)
        clock.now += 100  # looked at late, as on a busy machine
        assert signals.take() is None
        signal.raise_signal(signal.SIGTERM)
        assert signals.take() is signal.SIGTERM


def test_ctrl_c_after_sigterm_is_another_one(clock: Clock) -> None:
    with EndSignals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert [signals.take(), signals.take()] == [signal.SIGTERM, signal.SIGINT]


def test_of_two_the_outer_one_gets_what_the_inner_has_not_taken() -> None:
    with EndSignals(SAVING) as outer:
        with EndSignals() as inner:
            signal.raise_signal(signal.SIGTERM)
            assert inner.take() is signal.SIGTERM
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGINT)
        assert [outer.take(), outer.take()] == [signal.SIGHUP, None]


def test_under_nohup_a_closed_terminal_is_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with EndSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.take() is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)

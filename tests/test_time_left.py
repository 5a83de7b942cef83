"""The time left is that of the pace, and of the last ones, which are slow, none is named."""

import pytest

from verl_coder.time_left import Pace, duration


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def paced(clock: Clock, *ends: tuple[float, int]) -> Pace:
    """A pace whose ends came so many seconds after the beginning."""
    began, pace = clock.time, Pace(now=clock)
    for after, done in ends:
        clock.time = began + after
        pace.see(done)
    return pace


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (720, "12 min"), (11100, "3 h 05 min"), (187200, "2 d 04 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_nothing_is_known_before_the_first_has_ended() -> None:
    clock = Clock()
    pace = paced(clock)
    clock.time += 60
    assert pace.left_s(8) is None and pace.words(8) == "" and pace.words(8, longest_s=60.0) == ""
    assert pace.words(8, longest_s=60.0, waiting=False) == "8 still open, the longest for 60 s"


def test_what_is_left_is_counted_down_from_the_last_end() -> None:
    clock = Clock()
    pace = paced(clock, (30.0, 8))
    assert pace.left_s(32) == pytest.approx(90.0) and pace.words(32) == "about 90 s left"
    clock.time += 20
    assert pace.left_s(32) == pytest.approx(70.0)


def test_what_an_earlier_start_has_done_is_no_pace() -> None:
    clock = Clock()
    pace = Pace(90, now=clock)
    clock.time += 10
    pace.see(91)
    assert pace.left_s(100) == pytest.approx(90.0)


def test_the_slow_ones_at_the_end_are_timed_by_their_own_pace() -> None:
    clock = Clock()
    quick = [(n / 10, n) for n in range(1, 101)]
    pace = paced(clock, *quick, *((10.0 + 15 * n, 100 + n) for n in range(1, 12)))
    assert pace.left_s(113) == pytest.approx(30.0)


def test_once_the_next_one_is_overdue_no_time_is_named() -> None:
    clock = Clock()
    pace = paced(clock, (60.0, 30))
    clock.time += 3
    assert pace.words(32) == "about 1 s left"
    clock.time += 177
    assert pace.words(32) == "2 still open, none ended for 3 min"
    assert pace.words(32, longest_s=240.0) == "2 still open, the longest for 4 min"


def test_where_nothing_waits_the_last_tenth_are_named_and_not_timed() -> None:
    pace = paced(Clock(), (60.0, 30))
    assert pace.words(32, longest_s=20.0, waiting=False) == "2 still open, the longest for 20 s"
    assert pace.words(40, longest_s=20.0, waiting=False) == "about 20 s left"
    assert pace.words(32, longest_s=20.0) == "about 4 s left"
    assert pace.words(32, longest_s=None, waiting=False) == "about 4 s left"
    assert pace.words(30, longest_s=None, waiting=False) == ""

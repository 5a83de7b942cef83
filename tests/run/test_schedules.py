"""Weights change over training as their schedule says."""

import pytest

from verl_coder.errors import ConfigError
from verl_coder.run.schedules import parse_schedule


def _values(value: object, steps: int) -> list[float]:
    schedule = parse_schedule("beta", value)
    return [round(schedule.value(step), 6) for step in range(1, steps + 1)]


def test_a_number_is_constant() -> None:
    assert _values("3e-1", 3) == [0.3, 0.3, 0.3]


def test_linear_goes_to_its_end_and_stays() -> None:
    given = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}
    assert _values(given, 6) == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_cosine_is_half_way_in_the_middle() -> None:
    given = {"schedule": "cosine", "start": 1.0, "end": 0.2, "steps": 2}
    assert _values(given, 4) == [1.0, 0.6, 0.2, 0.2]


def test_a_warm_up_comes_first() -> None:
    given = {"schedule": "linear", "start": 0.9, "end": 0.0, "steps": 3, "warmup_steps": 2}
    assert _values(given, 6) == [0.3, 0.6, 0.9, 0.6, 0.3, 0.0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-0.1, "0 or more"),
        ("much", "use a number"),
        (True, "use a number"),
        (float("nan"), "use a number"),
        ({"schedule": "step", "start": 1.0}, "choose one of"),
        ({"schedule": "cosine", "start": 1.0}, "needs start, end, steps"),
        ({"schedule": "linear", "start": 1.0, "end": -1.0, "steps": 3}, "0 or more"),
        ({"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 0}, "whole number"),
        ({"start": 1.0, "stop": 2}, "no such setting"),
    ],
)
def test_a_bad_value_is_named(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"beta.*{message}"):
        parse_schedule("beta", value)

"""Bootstrap intervals over problems."""

import numpy as np
import pytest

from verl_coder.evaluation.intervals import bootstrap_intervals


def test_the_interval_of_a_share_is_near_the_normal_one() -> None:
    values = np.array([[1.0]] * 50 + [[0.0]] * 50)
    (interval,) = bootstrap_intervals(values)
    assert interval == pytest.approx((0.40, 0.60), abs=0.02)


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(0).random((40, 2))
    assert bootstrap_intervals(values) == bootstrap_intervals(values)


def test_all_right_is_not_certainty() -> None:
    (interval,) = bootstrap_intervals(np.ones((20, 1)))
    assert interval is not None and interval[1] == 1.0 and interval[0] == pytest.approx(0.832, abs=0.001)
    assert bootstrap_intervals(np.zeros((20, 1)), shares=False) == [(0.0, 0.0)]


def test_one_problem_has_no_interval() -> None:
    assert bootstrap_intervals(np.ones((1, 2))) == [None, None]

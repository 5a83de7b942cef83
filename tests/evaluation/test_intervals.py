"""Intervals of means over problems: how often they hold the truth, and that they never feign certainty."""

import numpy as np
import pytest
from scipy.stats import binomtest

from verl_coder.evaluation.intervals import DIFFERENCES, mean_intervals


def test_the_interval_of_a_share_is_near_the_normal_one() -> None:
    values = np.array([[1.0]] * 50 + [[0.0]] * 50)
    (interval,) = mean_intervals(values)
    assert interval == pytest.approx((0.40, 0.60), abs=0.02)


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(0).random((40, 2))
    assert mean_intervals(values) == mean_intervals(values)


@pytest.mark.parametrize("passed", [0, 1, 10, 19, 20])
def test_the_interval_of_one_sample_a_problem_is_clopper_and_pearsons(passed: int) -> None:
    exact = binomtest(passed, 20).proportion_ci(method="exact")
    shares = np.array([[float(i < passed)] * 2 for i in range(20)])
    shares[0, 0] += 1e-9  # no longer 0 or 1, so that it is drawn
    drawn, settled = mean_intervals(shares)
    assert settled == pytest.approx((exact.low, exact.high))
    assert drawn == pytest.approx((exact.low, exact.high), abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.25, 0.5, 1.0])
def test_problems_that_agree_are_not_certainty(value: float) -> None:
    (low, high), (few_low, few_high) = (
        mean_intervals(np.full((problems, 1), value))[0] or (0, 0) for problems in (50, 5)
    )
    assert 0 <= few_low <= low <= value <= high <= few_high <= 1
    assert 0.05 < high - low < 0.1 and 0.5 < few_high - few_low < 0.6


@pytest.mark.parametrize("bounds", [(0.0, 1.0), DIFFERENCES])
def test_an_interval_stays_within_what_a_problem_can_be_worth(bounds: tuple[float, float]) -> None:
    random = np.random.default_rng(1)
    values = random.choice(np.linspace(*bounds, 5), size=(4, 50))
    for (low, high), mean in zip(mean_intervals(values, bounds=bounds), values.mean(axis=0), strict=True):  # type: ignore[misc]
        assert bounds[0] <= low < mean + 1e-12 and mean - 1e-12 < high <= bounds[1]


def test_a_difference_is_more_than_0_where_the_exact_test_says_so() -> None:
    for won in range(17):
        for lost in (0, 1, 2, 5, won):
            values = [1.0] * won + [-1.0] * lost + [0.0] * 7
            p_value = binomtest(won, won + lost).pvalue if won + lost else 1.0
            (interval,) = mean_intervals(np.array([values]).T, bounds=DIFFERENCES)
            assert interval is not None
            assert (interval[0] > 0 or interval[1] < 0) == (p_value < 0.05), (won, lost)


@pytest.mark.parametrize("counts", [(3, 9, 8), (0, 5, 5), (13, 33, 4), (7, 0, 13), (2, 18, 0)])
def test_the_interval_of_signs_is_that_of_the_draws(counts: tuple[int, int, int]) -> None:
    values = np.repeat([-1.0, 0.0, 1.0], counts)
    columns = np.stack([values, values], axis=1)
    columns[0, 1] += 1e-9  # no longer a sign, so that it is drawn
    settled, drawn = mean_intervals(columns, bounds=DIFFERENCES, resamples=40_000)
    assert settled == pytest.approx(drawn, abs=0.01)


def _two_samples(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Rates of two samples each, of problems that are solved with another probability each; 0.3 on average."""
    return random.binomial(2, random.beta(0.3, 0.7, shape)) / 2


@pytest.mark.parametrize("problems", [3, 10, 40])
@pytest.mark.parametrize("kind", ["one sample", "two samples", "rarely", "differences"])
def test_it_holds_the_truth_as_often_as_it_says(kind: str, problems: int) -> None:
    random, bounds = np.random.default_rng(problems), (0.0, 1.0)
    shape = (problems, 400)
    if kind == "one sample":
        values, truth = (random.random(shape) < 0.5).astype(float), 0.5
    elif kind == "rarely":
        values, truth = (random.random(shape) < 0.05).astype(float), 0.05
    elif kind == "two samples":
        values, truth = _two_samples(random, shape), 0.3
    else:
        values, truth, bounds = _two_samples(random, shape) - _two_samples(random, shape), 0.0, DIFFERENCES
    found = mean_intervals(values, bounds=bounds, resamples=1000)
    covered = np.mean([low <= truth <= high for low, high in found])  # type: ignore[misc]
    assert covered > 0.93  # 0.95 less two standard errors of 400 trials


def test_one_problem_has_no_interval() -> None:
    assert mean_intervals(np.ones((1, 2))) == [None, None]

"""The estimator against rational arithmetic."""

import random
from fractions import Fraction

import pytest

from verl_coder.errors import ConfigError
from verl_coder.evaluation.pass_at_k import K_VALUES, mean_pass_at_k, pass_at_k, reported_ks


def by_product(n: int, c: int, k: int) -> Fraction:
    """1 - prod over the n-c wrong samples that could all be drawn, as the Codex paper computes it."""
    if n - c < k:
        return Fraction(1)
    missed = Fraction(1)
    for i in range(n - c + 1, n + 1):
        missed *= 1 - Fraction(k, i)
    return 1 - missed


def test_it_equals_rational_arithmetic_on_random_counts() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        n = rng.randrange(1, 400)
        c, k = rng.randrange(n + 1), rng.randrange(1, n + 1)
        assert pass_at_k(n, c, k) == float(by_product(n, c, k)), (n, c, k)


def test_it_equals_the_share_of_subsets_counted_one_by_one() -> None:
    from itertools import combinations

    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                subsets = list(combinations(range(n), k))
                hits = sum(any(sample < c for sample in subset) for subset in subsets)
                assert pass_at_k(n, c, k) == float(Fraction(hits, len(subsets)))


def test_it_grows_with_c_and_with_k() -> None:
    for n in (1, 2, 7, 20, 100, 199):
        for k in range(1, n + 1):
            values = [pass_at_k(n, c, k) for c in range(n + 1)]
            assert values == sorted(values)
        for c in range(n + 1):
            values = [pass_at_k(n, c, k) for k in range(1, n + 1)]
            assert values == sorted(values)


def test_the_corners_are_exact() -> None:
    for n in (1, 5, 100, 1000):
        assert all(pass_at_k(n, n, k) == 1.0 and pass_at_k(n, 0, k) == 0.0 for k in (1, n))
        assert all(pass_at_k(n, c, n) == 1.0 for c in range(1, n + 1))
        assert pass_at_k(n, 1, 1) == 1 / n


@pytest.mark.parametrize(("n", "k"), [(5, 6), (1, 100), (5, 0)])
def test_a_k_that_the_samples_do_not_reach_is_refused(n: int, k: int) -> None:
    with pytest.raises(ConfigError, match="not defined"):
        pass_at_k(n, 0, k)
    with pytest.raises(ConfigError, match=f"--k {k} with --n {n}"):
        reported_ks((1, k), n)


def test_the_usual_k_are_reported_as_far_as_there_are_samples() -> None:
    assert reported_ks(None, 20) == [1, 5, 10]
    assert reported_ks(None, 100) == list(K_VALUES)
    assert reported_ks((3, 1, 3), 5) == [1, 3]


def test_the_mean_is_over_problems() -> None:
    assert mean_pass_at_k([(2, 1), (4, 4)], 1) == 0.75

"""pass@k of the Codex paper (https://arxiv.org/abs/2107.03374, section 2.1): unbiased, and exact for all counts."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import comb, fsum

from verl_coder.errors import ConfigError

K_VALUES = (1, 5, 10, 25, 50, 100)
"""What is reported, as far as there are samples."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """Share of all k-subsets of n samples, c of them right, that hold a right one: 1 - C(n-c, k) / C(n, k).

    Whole numbers up to the last division, so the result is the double nearest to the true value. ConfigError where
    k is above n, for which the estimator says nothing.
    """
    if not 0 <= c <= n:
        raise ValueError(f"{c} of {n} samples passed")
    if not 1 <= k <= n:
        raise ConfigError(
            f"pass@{k} of {n} samples is not defined: take k from 1 to {n}, or draw {k} samples a problem"
        )
    every = comb(n, k)
    return float(Fraction(every - comb(n - c, k), every))


def reported_ks(wanted: Sequence[int] | None, n: int) -> list[int]:
    """The k to report: those of K_VALUES up to n, or the wanted ones. ConfigError for one that is above n."""
    if wanted is None:
        return [k for k in K_VALUES if k <= n]
    for k in wanted:
        if k > n or k < 1:
            raise ConfigError(
                f"--k {k} with --n {n}: pass@k needs at least k samples a problem (several tools print 1.0 there); "
                f"set --n {max(k, 1)} or leave {k} out"
            )
    return sorted(set(wanted))


def mean_pass_at_k(counts: Iterable[tuple[int, int]], k: int) -> float:
    """Mean over problems, each given as (samples, samples that passed); the same in whichever order they come."""
    values = [pass_at_k(n, c, k) for n, c in counts]
    return fsum(values) / len(values)

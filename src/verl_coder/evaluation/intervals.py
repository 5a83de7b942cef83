"""Intervals of means over problems: the percentile bootstrap, problems drawn with replacement."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import binomtest

LEVEL = 0.95
RESAMPLES = 10_000
_CHUNK = 500

Interval = tuple[float, float]


def bootstrap_intervals(
    values: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES, shares: bool = True
) -> list[Interval | None]:
    """For each column of `values` (problems, columns) the interval of its mean; None where one problem is all.

    A resample of `shares` that are all 0 or all 1 cannot differ from them: there the exact binomial interval stands.
    """
    values = np.asarray(values, dtype=float)
    problems, columns = values.shape
    if problems < 2:
        return [None] * columns
    means = np.concatenate(
        [weights @ values / problems for weights in resample_weights(problems, seed, resamples)]
    )
    tails = [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]
    low, high = np.percentile(means, tails, axis=0)
    return [
        (_exact(values[:, column]) if shares else None) or (float(low[column]), float(high[column]))
        for column in range(columns)
    ]


def resample_weights(problems: int, seed: int, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """How often each problem is drawn, (resamples, problems) in pieces; the same seed gives the same draws."""
    random = np.random.default_rng(seed)
    shares = np.full(problems, 1 / problems)
    for start in range(0, resamples, _CHUNK):
        yield random.multinomial(problems, shares, size=min(_CHUNK, resamples - start))


def _exact(column: np.ndarray) -> Interval | None:
    """Clopper and Pearson's interval where all values are 0, or all are 1."""
    if column.min() != column.max() or column[0] not in (0.0, 1.0):
        return None
    found = binomtest(int(column.sum()), len(column)).proportion_ci(LEVEL, method="exact")
    return float(found.low), float(found.high)

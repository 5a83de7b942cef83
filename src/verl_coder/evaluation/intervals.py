"""Intervals of means over problems, honest where there are few problems or all of them agree.

The values of the problems are weighted by a flat Dirichlet draw, as in the Bayesian bootstrap, beside one value more:
the lowest possible one for the lower end of the interval, the highest for the upper end. So a problem that nobody has
seen may be worth anything that a problem can be worth. This is Gaffke's interval, described in
https://arxiv.org/abs/1905.06208 (that it never covers less than it says is a conjecture there). Of shares that are 0 or
1 it is Clopper and Pearson's interval; of differences of -1, 0 and 1 it leaves 0 out where McNemar's exact test has
p < 0.05 (both without draws). With several samples a problem a test of these very problems may say more than the
interval, which speaks of problems that are not among them, too.
"""

from collections.abc import Iterator

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta

LEVEL = 0.95
RESAMPLES = 10_000
_CHUNK = 500
_TAIL = (1 - LEVEL) / 2
_NODES = (np.arange(500) + 0.5) / 500

Interval = tuple[float, float]
SHARES = (0.0, 1.0)
"""Lowest and highest value of a rate."""
DIFFERENCES = (-1.0, 1.0)
"""Of the difference of two rates."""


def mean_intervals(
    values: np.ndarray, *, bounds: Interval = SHARES, seed: int = 0, resamples: int = RESAMPLES
) -> list[Interval | None]:
    """For each column of `values` (problems, columns) the interval of its mean; None where one problem is all.

    `bounds` are the lowest and the highest value that a problem can have. The same seed gives the same intervals.
    """
    values = np.asarray(values, dtype=float)
    problems, columns = values.shape
    if problems < 2:
        return [None] * columns
    found: list[Interval | None] = [
        _of_two_values(column, bounds) or _of_signs(column, bounds) for column in values.T
    ]
    if open_ones := [place for place, interval in enumerate(found) if interval is None]:
        drawn = _drawn(values[:, open_ones], bounds, seed, resamples)
        for place, interval in zip(open_ones, drawn, strict=True):
            found[place] = interval
    return found


def _drawn(values: np.ndarray, bounds: Interval, seed: int, resamples: int) -> list[Interval]:
    lowest, highest = bounds
    lower, upper = [], []
    for weights in _weights(len(values) + 1, seed, resamples):
        means = weights[:, :-1] @ values
        lower.append(means + weights[:, -1:] * lowest)
        upper.append(means + weights[:, -1:] * highest)
    low = np.quantile(np.concatenate(lower), _TAIL, axis=0)
    high = np.quantile(np.concatenate(upper), 1 - _TAIL, axis=0)
    return [(float(one), float(other)) for one, other in zip(low, high, strict=True)]


def _weights(number: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Flat Dirichlet draws, (resamples, number) in pieces."""
    random = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        drawn = random.standard_exponential((min(_CHUNK, resamples - start), number))
        yield drawn / drawn.sum(axis=1, keepdims=True)


def _of_two_values(column: np.ndarray, bounds: Interval) -> Interval | None:
    """The same interval without draws, where all values agree or each is the lowest or the highest possible one."""
    (lowest, highest), problems = bounds, len(column)
    if column.min() == column.max():
        value, unseen = float(column[0]), float(beta.ppf(1 - _TAIL, 1, problems))
        return value - unseen * (value - lowest), value + unseen * (highest - value)
    if not np.isin(column, bounds).all():
        return None
    best = int((column == highest).sum())
    low = beta.ppf(_TAIL, best, problems - best + 1)
    high = beta.ppf(1 - _TAIL, best + 1, problems - best)
    return lowest + float(low) * (highest - lowest), lowest + float(high) * (highest - lowest)


def _of_signs(column: np.ndarray, bounds: Interval) -> Interval | None:
    """The same interval without draws, where each value is -1, 0 or 1: differences of one sample a problem."""
    if bounds != DIFFERENCES or not np.isin(column, (-1, 0, 1)).all():
        return None
    worse, alike, better = (int((column == value).sum()) for value in (-1, 0, 1))
    return _lower_end(worse, alike, better), -_lower_end(better, alike, worse)


def _lower_end(worse: int, alike: int, better: int) -> float:
    """Where one problem more is worse: the difference lies below it with the probability of a tail.

    The share of problems that differ is Beta(worse + 1 + better, alike), and that of the better ones among them
    Beta(better, worse + 1), whatever the former is.
    """
    if not better:
        return -float(beta.ppf(1 - _TAIL, worse + 1, alike))
    differ = beta.ppf(_NODES, worse + 1 + better, alike) if alike else np.ones(1)

    def below(value: float) -> float:
        return float(beta.cdf((1 + value / differ) / 2, better, worse + 1).mean()) - _TAIL

    return float(brentq(below, -1.0, 1.0, xtol=1e-9))

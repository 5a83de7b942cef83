"""A randomisation test of paired pass counts: how probable is a difference as large where chance alone made it.

Exact as long as that takes seconds; else from random draws with a fixed seed, and the answer says so.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import comb, gcd, lcm
from typing import NamedTuple

import numpy as np

ALL_DEALS = "exact, over all ways to deal each problem's samples to the two"
_MOST_WORK = 1_500_000_000
"""Additions of an exact test: seconds."""
_MOST_CELLS = 20_000_000
_DRAWS = 100_000
_MOST_DRAWN = 30_000_000
"""Draws of single problems; of very many problems there are fewer draws of all of them."""

Pair = tuple[tuple[int, int], tuple[int, int]]
"""(samples, samples that passed) of one problem, of the first evaluation and of the second."""


class PValue(NamedTuple):
    """Two-sided, and how it was found."""

    value: float
    how: str


def redraw_p_value(pairs: Sequence[Pair]) -> PValue:
    """How probable a difference as large is where, of each problem, the samples were dealt to the two by chance.

    Fisher's exact test of each problem's table, over all problems at once: passes are hypergeometric. With one sample
    a problem it is McNemar's exact test. What it asks is whether the two differ on these very problems: the samples are
    drawn, the problems are given.
    """
    # A problem that all samples pass, or none, has but one way to be dealt, and no difference.
    pairs = [(a, b) for a, b in pairs if 0 < a[1] + b[1] < a[0] + b[0]]
    unit = lcm(*(n for pair in pairs for n, _ in pair))
    observed = abs(sum(b[1] * (unit // b[0]) - a[1] * (unit // a[0]) for a, b in pairs))
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for a, b in pairs:
        groups[a[0], b[0]].append(a[1] + b[1])
    if unit * (len(pairs) + 1) > 1 << 60 or _work_of(groups, unit) > _MOST_WORK:
        return drawn_deals(pairs)
    total = _Sums(np.ones(1), 0, unit)
    for (first_n, second_n), passes in groups.items():
        total = total.plus(_sums_of(first_n, second_n, passes, unit))
    return PValue(min(1.0, total.chance_of(observed)), ALL_DEALS)


class _Sums(NamedTuple):
    """Chances of sums of differences that lie `step` units apart, from `start` on."""

    chances: np.ndarray
    start: int
    step: int

    def plus(self, other: "_Sums") -> "_Sums":
        """Of both together; units of the other step where one of the two is a single sum."""
        short, long = sorted((self, other), key=lambda sums: len(sums.chances))
        step = gcd(short.step, long.step) if len(short.chances) > 1 else long.step
        apart, stride = short.step // step, long.step // step
        length = (len(long.chances) - 1) * stride + 1
        found = np.zeros(length + (len(short.chances) - 1) * apart)
        for place, chance in enumerate(short.chances):
            found[place * apart : place * apart + length : stride] += chance * long.chances
        return _Sums(found, short.start + long.start, step)

    def chance_of(self, observed: int) -> float:
        """Of a sum at least so far from 0."""
        sums = self.start + self.step * np.arange(len(self.chances), dtype=np.int64)
        return float(self.chances[np.abs(sums) >= observed].sum())


def _sums_of(first_n: int, second_n: int, passes: Sequence[int], unit: int) -> _Sums:
    """Problems with the same two numbers of samples: a difference is a multiple of how many passes are the second's."""
    chances, least = np.ones(1), 0
    for passed in passes:
        chances = np.convolve(chances, _dealt(first_n, second_n, passed))
        least += max(0, passed - first_n)
    step = unit // second_n + unit // first_n
    return _Sums(chances, step * least - unit // first_n * sum(passes), step)


@lru_cache(maxsize=4096)
def _dealt(first_n: int, second_n: int, passed: int) -> np.ndarray:
    """Chances that the second has the least possible number of the passes, one more, and so on."""
    every = comb(first_n + second_n, passed)
    possible = range(max(0, passed - first_n), min(second_n, passed) + 1)
    return np.array([comb(second_n, k) * comb(first_n, passed - k) / every for k in possible])


def _work_of(groups: dict[tuple[int, int], list[int]], unit: int) -> int:
    """Additions of the exact test."""

    def of_one_group(first_n: int, second_n: int, passes: list[int]) -> Iterator[int]:
        length = 1
        for passed in passes:
            ways = min(second_n, passed) - max(0, passed - first_n) + 1
            yield length * ways
            length += ways - 1

    work, cells, lengths = 0, 1, 1
    for (first_n, second_n), passes in groups.items():
        work += sum(of_one_group(first_n, second_n, passes))
        reach = sum(min(second_n, p) - max(0, p - first_n) for p in passes)
        if len(groups) > 1:
            cells += reach * (unit // second_n + unit // first_n)
            work += min(lengths, reach + 1) * cells
            lengths = cells
    return work if cells <= _MOST_CELLS else _MOST_WORK + 1


def drawn_deals(pairs: Sequence[Pair]) -> PValue:
    """`redraw_p_value` from random deals."""
    random, draws = np.random.default_rng(0), min(_DRAWS, max(10_000, _MOST_DRAWN // max(len(pairs), 1)))
    sums = np.zeros(draws)
    for (first_n, first), (second_n, second) in pairs:
        passed = first + second
        k = random.hypergeometric(passed, first_n + second_n - passed, second_n, size=draws)
        sums += k / second_n - (passed - k) / first_n
    observed = abs(sum(b[1] / b[0] - a[1] / a[0] for a, b in pairs))
    return _share(sums, observed, f"from {draws:,} random deals of each problem's samples, seed 0")


def _share(sums: np.ndarray, observed: float, how: str) -> PValue:
    """Of the sums as far from 0 as the observed one, which is counted among them."""
    reached = int((np.abs(sums) >= observed - 1e-9).sum())
    return PValue((1 + reached) / (1 + len(sums)), how)

"""Two evaluations of the same problems: paired differences, and an exact test of whether they could be chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verl_coder.evaluation.intervals import DIFFERENCES, Interval, mean_intervals
from verl_coder.evaluation.pass_at_k import mean_pass_at_k, pass_at_k
from verl_coder.evaluation.randomisation import redraw_p_value

SIGNIFICANCE = 0.05
Counts = Mapping[str, tuple[int, int]]
"""Problem -> (samples, samples that passed)."""


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """`second` against `first` on the problems that both have; shares, differences as second - first."""

    first: str
    second: str
    problems: int
    """In common: all numbers here are of these."""
    problems_of_each: tuple[int, int]
    """Of the two, those in common and those that are left out."""
    rates: tuple[float, float]
    """pass@1 of the two."""
    difference: float
    interval: Interval | None
    won: tuple[str, ...]
    """Problems that the second solves more often than the first."""
    lost: tuple[str, ...]
    p_value: float
    """Two-sided, of these problems: `redraw_p_value`."""
    p_value_how: str
    """Exact, or from how many random draws."""
    adjusted_p_value: float
    """After Holm's correction for the number of comparisons; `p_value` where there is one."""
    differences_at_k: Mapping[int, tuple[float, Interval | None]]

    @property
    def significant(self) -> bool:
        return self.adjusted_p_value < SIGNIFICANCE

    def verdict(self) -> str:
        """The comparison in one sentence of words."""
        points = f"{100 * abs(self.difference):.1f} points"
        between = (
            f" (95% interval {100 * self.interval[0]:+.1f} to {100 * self.interval[1]:+.1f})"
            if self.interval
            else ""
        )
        counts = f"{len(self.won)} problems won, {len(self.lost)} lost, {self._tied} alike"
        p_text = "p < 1e-300" if self.adjusted_p_value < 1e-300 else f"p = {self.adjusted_p_value:.2g}"
        if self.difference == 0 and not self.won and not self.lost:
            return f"{self.second} and {self.first} are alike on each of {self.problems} problems."
        way = (
            "better"
            if self.difference > 0
            else "worse"
            if self.difference < 0
            else "neither better nor worse"
        )
        if self.significant:
            others = ", on these problems; of others like them it is not sure: 0 is in the interval"
            return (
                f"{self.second} is {points} {way} than {self.first}{between}: {counts}; more than noise ({p_text})"
                f"{others if self._of_these_alone else ''}."
            )
        return (
            f"{self.second} measures {points} {way} than {self.first}{between}: {counts}; no more than noise "
            f"would give ({p_text})."
        )

    @property
    def _of_these_alone(self) -> bool:
        return self.interval is not None and self.interval[0] <= 0 <= self.interval[1]

    @property
    def _tied(self) -> int:
        return self.problems - len(self.won) - len(self.lost)


def compare_paired(
    first: str,
    first_counts: Counts,
    second: str,
    second_counts: Counts,
    *,
    ks: Sequence[int] = (1,),
    seed: int = 0,
) -> PairedComparison:
    """Compare on the common problems; ValueError where there is none."""
    problems = sorted(set(first_counts) & set(second_counts))
    if not problems:
        raise ValueError("no common problem")
    pairs = [(first_counts[problem], second_counts[problem]) for problem in problems]
    columns = np.array([[pass_at_k(*b, k) - pass_at_k(*a, k) for k in ks] for a, b in pairs])
    exact = [Fraction(b[1], b[0]) - Fraction(a[1], a[0]) for a, b in pairs]
    one = np.array([float(value) for value in exact])
    intervals = mean_intervals(np.column_stack([one, columns]), bounds=DIFFERENCES, seed=seed)
    p_value, how = redraw_p_value(pairs)
    return PairedComparison(
        first=first,
        second=second,
        problems=len(problems),
        problems_of_each=(len(first_counts), len(second_counts)),
        rates=(mean_pass_at_k((a for a, _ in pairs), 1), mean_pass_at_k((b for _, b in pairs), 1)),
        difference=float(sum(exact) / len(exact)),
        interval=intervals[0],
        won=tuple(problem for problem, value in zip(problems, exact, strict=True) if value > 0),
        lost=tuple(problem for problem, value in zip(problems, exact, strict=True) if value < 0),
        p_value=p_value,
        p_value_how=how,
        adjusted_p_value=p_value,
        differences_at_k={
            k: (float(columns[:, place].mean()), intervals[place + 1]) for place, k in enumerate(ks)
        },
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (https://www.jstor.org/stable/4615733), in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted

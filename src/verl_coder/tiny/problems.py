"""The sample problems: one-line functions over a list, some of whose statements only the example settles.

"over k" and "under k" may or may not include k. The statement does not say; the visible example does, so a
model that runs its candidate against the example with the interpreter solves what guessing cannot.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from verl_coder.errors import DataError
from verl_coder.problems import FunctionCase, FunctionTests, Problem

Split = Literal["sft", "rl", "heldout"]

HIDDEN_CASES = 6
HARD_SHARE = 0.6
_SPLIT_SHARES: dict[Split, float] = {"sft": 0.7, "rl": 0.2, "heldout": 0.1}
_MAX_VALUE = 30
_THRESHOLDS = range(2, 21)

_AGGREGATES = {
    "sum": ("the sum of {}", "sum({})"),
    "largest": ("the largest of {}, or 0", "max(({}), default=0)"),
    "smallest": ("the smallest of {}, or 0", "min(({}), default=0)"),
    "list": ("the list of {}", "[{}]"),
    "sorted": ("the sorted list of {}", "sorted({})"),
    "distinct": ("the number of distinct {}", "len(set({}))"),
    "reversed": ("the reversed list of {}", "[{}][::-1]"),
    "count": ("the count of {}", "len([{}])"),
}
_MAPS = {
    "values": ("", "x"),
    "squares": ("squares of ", "x * x"),
    "cubes": ("cubes of ", "x * x * x"),
    "negatives": ("negatives of ", "-x"),
    "last-digits": ("last digits of ", "x % 10"),
    **{f"plus-{k}": (f"values plus {k} of ", f"x + {k}") for k in range(1, 10)},
    **{f"minus-{k}": (f"values minus {k} of ", f"x - {k}") for k in range(1, 10)},
    **{f"times-{k}": (f"values times {k} of ", f"x * {k}") for k in range(2, 10)},
}
_FILTERS = {
    "all": ("numbers", None, None),
    "even": ("even numbers", "x % 2 == 0", None),
    "odd": ("odd numbers", "x % 2 == 1", None),
    **{f"multiples-{k}": (f"multiples of {k}", f"x % {k} == 0", None) for k in range(3, 10)},
    **{f"over-{k}": (f"numbers over {k}", f"x > {k}", f"x >= {k}") for k in _THRESHOLDS},
    **{f"under-{k}": (f"numbers under {k}", f"x < {k}", f"x <= {k}") for k in _THRESHOLDS},
}


@dataclass(frozen=True, kw_only=True, order=True)
class Combination:
    """One statement: what is computed (`aggregate`), of which values (`mapping`), of which numbers (`filter`)."""

    aggregate: str
    mapping: str
    filter: str

    @property
    def problem_id(self) -> str:
        """Readable and unique, such as `sample/sum/squares/over-5`."""
        return f"sample/{self.aggregate}/{self.mapping}/{self.filter}"

    @property
    def threshold(self) -> int | None:
        """The k of "over k", "under k" and "multiples of k"."""
        digits = self.filter.rpartition("-")[2]
        return int(digits) if digits.isdigit() else None

    @property
    def ambiguous(self) -> bool:
        """Whether the statement has two readings."""
        return _FILTERS[self.filter][2] is not None

    @property
    def tellable(self) -> bool:
        """Whether some input tells the readings apart: not where k itself adds nothing, as 0 adds to a sum."""
        if not self.ambiguous or self.aggregate not in ("sum", "largest", "smallest"):
            return True
        value: int = eval(_MAPS[self.mapping][1], {"x": self.threshold})
        return value != 0

    @property
    def statement(self) -> str:
        """The task in words, without the example."""
        inner = f"the {_MAPS[self.mapping][0]}{_FILTERS[self.filter][0]} in xs"
        if self.aggregate == "distinct":
            inner = inner.removeprefix("the ")
        return f"Write f(xs): {_AGGREGATES[self.aggregate][0].format(inner)}."

    def solution(self, *, inclusive: bool = False) -> str:
        """Source of `f` under one reading; `inclusive` means that k itself counts."""
        _, strict, loose = _FILTERS[self.filter]
        condition = loose if inclusive and loose else strict
        body = f"{_MAPS[self.mapping][1]} for x in xs" + (f" if {condition}" if condition else "")
        return f"def f(xs):\n    return {_AGGREGATES[self.aggregate][1].format(body)}"


@dataclass(frozen=True, kw_only=True)
class SampleProblem:
    """A problem, and what its trace writer must know: the right source, the other reading's, and the first guess."""

    problem: Problem
    right: str
    wrong: str | None
    first_guess: str


def all_combinations() -> list[Combination]:
    """Every combination of the family, in a fixed order (12,000)."""
    combinations = (
        Combination(aggregate=aggregate, mapping=mapping, filter=name)
        for aggregate in _AGGREGATES
        for mapping in _MAPS
        for name in _FILTERS
    )
    return [combination for combination in combinations if combination.tellable]


def split_combinations(seed: int) -> dict[Split, list[Combination]]:
    """Combinations of each split: disjoint, shuffled, HARD_SHARE of each ambiguous (6,000 in all)."""
    rng = random.Random(f"split/{seed}")
    splits: dict[Split, list[Combination]] = {name: [] for name in _SPLIT_SHARES}
    easy = [c for c in all_combinations() if not c.ambiguous]
    hard = [c for c in all_combinations() if c.ambiguous]
    wanted = {id(easy): len(easy), id(hard): round(len(easy) * HARD_SHARE / (1 - HARD_SHARE))}
    for pool in (easy, hard):
        rng.shuffle(pool)
        start = 0
        for name, share in _SPLIT_SHARES.items():
            stop = start + round(wanted[id(pool)] * share)
            splits[name].extend(pool[start:stop])
            start = stop
    for combinations in splits.values():
        rng.shuffle(combinations)
    return splits


def make_problem(
    combination: Combination, *, seed: int, split: Split, index: int = 0, draw: int = 0
) -> SampleProblem:
    """The problem of a combination. `draw` numbers independent readings, examples and hidden cases of it."""
    rng = random.Random(f"problem/{seed}/{draw}/{combination.problem_id}")
    inclusive = combination.ambiguous and rng.random() < 0.5
    right = combination.solution(inclusive=inclusive)
    wrong = combination.solution(inclusive=not inclusive) if combination.ambiguous else None
    example = _draw_list(rng, combination, right, wrong, telling=wrong is not None, length=(2, 4))
    # Half of the hidden cases tell the readings apart: a wrong one passes none of these.
    hidden = [
        _draw_list(rng, combination, right, wrong, telling=wrong is not None and i % 2 == 0, length=(3, 7))
        for i in range(HIDDEN_CASES)
    ]
    solve = _compile(right)
    problem = Problem(
        data_source="sample",
        problem_id=combination.problem_id + (f"/{draw}" if draw else ""),
        prompt=(
            {
                "role": "user",
                "content": f"{combination.statement}\nassert f({example}) == {solve(example)!r}",
            },
        ),
        tests=FunctionTests(
            entry_point="f",
            tests=tuple(FunctionCase(args=(list(xs),), expected=solve(xs)) for xs in hidden),
        ),
        split={"sft": "train", "rl": "train", "heldout": "test"}[split],
        index=index,
        difficulty="hard" if combination.ambiguous else "easy",
        entry_point="f",
        reference_solution=right,
        tool_prelude=_prelude(example, solve(example)),
    )
    return SampleProblem(
        problem=problem, right=right, wrong=wrong, first_guess=combination.solution(inclusive=False)
    )


def problems(split: Split, count: int, *, seed: int) -> Iterator[SampleProblem]:
    """The first `count` problems of a split; the SFT split draws each combination anew as often as needed."""
    combinations = split_combinations(seed)[split]
    if split != "sft" and count > len(combinations):
        purpose = {"rl": "for training", "heldout": "held out"}[split]
        raise DataError(
            f"{count:,} sample problems {purpose} were asked for, and there are {len(combinations):,}"
        )
    for index in range(count):
        draw, position = divmod(index, len(combinations))
        yield make_problem(combinations[position], seed=seed, split=split, index=index, draw=draw)


def _prelude(example: list[int], expected: object) -> str:
    """The visible example as `check(f)`: prints ok, or fails with what `f` returned."""
    return (
        "def check(f):\n"
        f"    got = f({example})\n"
        f'    assert got == {expected!r}, f"got {{got}}"\n'
        '    print("ok")\n'
    )


@lru_cache(maxsize=4)
def _compile(source: str) -> Callable[[list[int]], object]:
    namespace: dict[str, Callable[[list[int]], object]] = {}
    exec(source, namespace)  # the family's own source, never a model's
    return namespace["f"]


def _draw_list(
    rng: random.Random,
    combination: Combination,
    right: str,
    wrong: str | None,
    *,
    telling: bool,
    length: tuple[int, int],
) -> list[int]:
    """Numbers on which the solution has something to do and, if `telling`, the two readings differ."""
    solve = _compile(right)
    k = combination.threshold
    while True:
        low, high = 0, _MAX_VALUE
        if telling and k is not None and rng.random() < 0.5:
            # "the largest over k" depends on k itself only where nothing is over it: look on one side of k.
            low, high = rng.choice([(0, k), (k, _MAX_VALUE)])
        xs = [rng.randint(low, high) for _ in range(rng.randint(*length))]
        if k is not None and (telling or rng.random() < 0.3):
            xs[rng.randrange(len(xs))] = k
        if telling and wrong is not None:
            if solve(xs) != _compile(wrong)(xs):
                return xs
        elif solve(xs) not in (0, []) or rng.random() < 0.05:
            return xs

"""The family: a chain of functions, each of which uses the one before it, and one thing that only running tells.

`plain`: the words say everything. `state`: "over k" and "under k" may or may not include k, at each step; `check()`
tells the first function that is wrong, and mending it needs all the others again, unless they are still there.
`bug`: a program with one wrong constant; `check()` fails without a word, some calls deep, and the right constant is a
local variable of the place where it fails. Depth is the number of functions. Right by construction: example, hidden
cases and sources come from one table of operations.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from verl_coder.errors import DataError

Kind = Literal["plain", "state", "bug"]
Split = Literal["sft", "rl", "heldout"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HIDDEN_CASES = 6
MAX_DEPTH = 6
_SHARES: dict[Split, range] = {"heldout": range(2), "rl": range(2, 5), "sft": range(5, 10)}
"""Tenths of all statements."""
_DRAWS = 100_000
_LARGEST = 99
"""Of the numbers in the example of a `state` chain."""

Function = Callable[[Any], Any]
_MAPS: tuple[tuple[str, str, Callable[[int], int]], ...] = (
    ("", "x", lambda x: x),
    *((f"values plus {k} of ", f"x + {k}", partial(lambda k, x: x + k, k)) for k in range(1, 10)),
    *((f"values times {k} of ", f"x * {k}", partial(lambda k, x: x * k, k)) for k in range(2, 4)),
)
"""Words, source, meaning."""
_DIGITS: tuple[tuple[str, str, Callable[[int], int]], ...] = (
    ("last digits of ", "x % 10", lambda x: x % 10),
    *(
        (f"last digits of values times {k} of ", f"x * {k} % 10", partial(lambda k, x: x * k % 10, k))
        for k in (3, 7, 9)
    ),
)
"""They change the order of numbers: otherwise a strict bound would leave nothing at a later bound of its side."""
_PLAIN: tuple[tuple[str, str, Callable[[int], bool]], ...] = (
    ("numbers", "", lambda x: True),
    ("even numbers", " if x % 2 == 0", lambda x: x % 2 == 0),
    ("odd numbers", " if x % 2 == 1", lambda x: x % 2 == 1),
    *((f"multiples of {k}", f" if x % {k} == 0", partial(lambda k, x: x % k == 0, k)) for k in range(3, 6)),
)
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">": lambda x, k: x > k,
    ">=": lambda x, k: x >= k,
    "<": lambda x, k: x < k,
    "<=": lambda x, k: x <= k,
}
_CONSTANTS = {"+": range(1, 10), "-": range(1, 10), "*": range(2, 10)}
_APPLY: dict[str, Callable[[int, int], int]] = {
    "+": lambda x, k: x + k,
    "-": lambda x, k: x - k,
    "*": lambda x, k: x * k,
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One function of a chain. Its `readings` are the sources that it may have; a reader takes the first."""

    name: str
    words: str
    readings: tuple[str, ...]
    meanings: tuple[Function, ...]
    """What each reading makes of the value of the function before."""
    right: int
    """Place of the right reading."""
    constants: tuple[int, ...] = ()
    """Of a `bug`: the constant of each reading."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One problem, without its words. A choice names a reading of each step."""

    kind: Kind
    steps: tuple[Step, ...]
    example: Any
    hidden: tuple[Any, ...]
    """Arguments of the hidden cases."""

    @property
    def depth(self) -> int:
        """Functions that call each other."""
        return len(self.steps)

    @property
    def right(self) -> tuple[int, ...]:
        """The choice that passes."""
        return tuple(step.right for step in self.steps)

    @property
    def first(self) -> tuple[int, ...]:
        """What a reader takes first: the strict reading, the constants as given."""
        return (0,) * self.depth

    def values(self, argument: Any, choice: Sequence[int] | None = None) -> list[Any]:
        """What each function returns for `argument`; of the right choice by default."""
        values = []
        for step, place in zip(self.steps, choice or self.right, strict=True):
            argument = step.meanings[place](argument)
            values.append(argument)
        return values

    def program(self, choice: Sequence[int], names: Sequence[str] | None = None) -> str:
        """Source of all functions, or of those named."""
        return "\n".join(
            step.readings[place]
            for step, place in zip(self.steps, choice, strict=True)
            if names is None or step.name in names
        )

    @property
    def identity(self) -> str:
        """Unique and readable enough: kind, depth and a hash of what the reader sees."""
        seen = "\n".join([self.kind, *(step.words or step.readings[0] for step in self.steps)])
        return f"chains/{self.kind}-{self.depth}/{hashlib.sha256(seen.encode()).hexdigest()[:12]}"


def step_names(depth: int) -> list[str]:
    """`a`, `b`, ...; the last is `f`, which the tests call."""
    return [*"abcde"[: depth - 1], "f"]


def draw(kind: Kind, depth: int, rng: random.Random, *, rights: Sequence[int] | None = None) -> Chain:
    """One chain of the family. `rights`: the right readings of a `state` chain, 0 or 1 each; drawn where None."""
    if not 1 <= depth <= MAX_DEPTH:
        raise DataError(f"depth is {depth}: use 1 to {MAX_DEPTH}")
    # Fixed before the draws, so that what is hard to draw is as frequent as what is easy.
    rights = rights or [rng.randrange(2) for _ in range(depth)]
    makers: dict[Kind, Callable[[int, random.Random], Chain | None]] = {
        "plain": _plain,
        "state": partial(_state, rights=rights),
        "bug": _bug,
    }
    make = makers[kind]
    for _ in range(_DRAWS):
        chain = make(depth, rng)
        if chain is not None:
            return chain
    raise AssertionError(f"no {kind} of depth {depth} in {_DRAWS} draws")


def chains(
    split: Split, count: int, *, seed: int, kinds: Sequence[Kind] = KINDS, depths: Sequence[int] = (2, 3)
) -> Iterator[Chain]:
    """`count` chains of a split, kinds and depths in turn; what one split states, no other does.

    Each combination of right readings is as frequent as any other, also among few chains.
    """
    found: set[str] = set()
    rights = {depth: _balanced(depth, random.Random(f"rights/{seed}/{split}/{depth}")) for depth in depths}
    for index in range(count):
        kind, depth = kinds[index % len(kinds)], depths[index // len(kinds) % len(depths)]
        right = next(rights[depth]) if kind == "state" else None
        for attempt in range(_DRAWS):
            rng = random.Random(f"chains/{seed}/{split}/{index}/{attempt}")
            chain = draw(kind, depth, rng, rights=right)
            tenth = int(chain.identity.rpartition("/")[2], 16) % 10
            # The SFT split may ask more often than there are statements of depth 1.
            if tenth in _SHARES[split] and (split == "sft" or chain.identity not in found):
                break
        else:
            raise DataError(f"the {split} split has not {count} statements of {kind}, depth {depth}")
        found.add(chain.identity)
        yield chain


def _balanced(depth: int, rng: random.Random) -> Iterator[list[int]]:
    """All combinations of `depth` readings in random order, again and again."""
    while True:
        for number in rng.sample(range(2**depth), 2**depth):
            yield [number >> place & 1 for place in range(depth)]


def _listing(name: str, source: str, before: str, condition: str) -> str:
    return f"def {name}(xs):\n    return [{source} for x in {before}{condition}]"


def _of(mapping: Callable[[int], int], keeps: Callable[[int], bool]) -> Function:
    return lambda xs: [mapping(x) for x in xs if keeps(x)]


def _before(names: Sequence[str], place: int, argument: str) -> str:
    return f"{names[place - 1]}({argument})" if place else argument


def _plain(depth: int, rng: random.Random) -> Chain | None:
    names, steps = step_names(depth), []
    for place, name in enumerate(names):
        words, source, mapping = rng.choice(_MAPS)
        which, condition, keeps = rng.choice(_PLAIN)
        before = _before(names, place, "xs")
        steps.append(
            Step(
                name=name,
                words=f"{words}{which} in {before}",
                readings=(_listing(name, source, before, condition),),
                meanings=(_of(mapping, keeps),),
                right=0,
            )
        )
    lists = [_numbers(rng, 4, 8) for _ in range(HIDDEN_CASES + 1)]
    chain = Chain(kind="plain", steps=tuple(steps), example=lists[0], hidden=tuple(lists[1:]))
    return chain if all(chain.values(xs)[-1] for xs in lists[:4]) else None


def _state(depth: int, rng: random.Random, *, rights: Sequence[int]) -> Chain | None:
    names = step_names(depth)
    steps: list[Step] = []
    example = _numbers(rng, depth + 2, depth + 4)
    # Numbers by their place in the example: what they have become, who is still there, who must reach the end.
    values, alive = list(example), set(range(len(example)))
    at_bound: list[int] = []
    for name, right in zip(names, rights, strict=True):
        words, source, mapping = rng.choice(_MAPS if rng.random() < 0.5 else _DIGITS)
        side = rng.choice(("over", "under"))
        chosen = _bound(rng, values, alive, at_bound, side=side, inclusive=right == 1)
        if chosen is None:
            return None
        at_bound.append(chosen)
        bound, signs = values[chosen], (">", ">=") if side == "over" else ("<", "<=")
        before = _before(names, len(steps), "xs")
        step = Step(
            name=name,
            words=f"{words}numbers {side} {bound} in {before}",
            readings=tuple(_listing(name, source, before, f" if x {sign} {bound}") for sign in signs),
            meanings=tuple(_of(mapping, partial(_keeps, sign, bound)) for sign in signs),
            right=right,
        )
        steps.append(step)
        alive = {place for place in alive if _keeps(signs[right], bound, values[place])}
        values = [mapping(value) for value in values]
        if not alive or max(values[place] for place in alive) > _LARGEST:
            return None
    hidden = [_around(rng, example[at_bound[index % depth]]) for index in range(HIDDEN_CASES)]
    chain = Chain(kind="state", steps=tuple(steps), example=example, hidden=tuple(hidden))
    told = all(_tells(chain, example, place) for place in range(depth))
    return chain if told and all(_tells(chain, xs, i % depth) for i, xs in enumerate(hidden)) else None


def _bound(
    rng: random.Random,
    values: Sequence[int],
    alive: set[int],
    at_bound: Sequence[int],
    *,
    side: str,
    inclusive: bool,
) -> int | None:
    """Place of a number that is there and can be the bound: those at earlier bounds pass this one, too.

    So whether such a number was kept or not is seen at the end.
    """
    sign = -1 if side == "under" else 1
    earlier = [sign * values[place] for place in at_bound]
    fit = [
        place
        for place in sorted(alive)
        if all(
            sign * values[place] < value or (inclusive and sign * values[place] == value) for value in earlier
        )
    ]
    return rng.choice(fit) if fit else None


def _keeps(sign: str, bound: int, x: int) -> bool:
    return _COMPARE[sign](x, bound)


def _tells(chain: Chain, argument: Any, place: int) -> bool:
    """Whether `f` shows the other reading of one step, the others being right."""
    other = [*chain.right]
    other[place] = 1 - other[place]
    return bool(chain.values(argument, other)[-1] != chain.values(argument)[-1])


def _numbers(rng: random.Random, least: int, most: int) -> list[int]:
    return rng.sample(range(1, 31), rng.randint(least, most))


def _around(rng: random.Random, number: int) -> list[int]:
    xs = [number, *_numbers(rng, 2, 5)]
    rng.shuffle(xs)
    return xs


def _bug(depth: int, rng: random.Random) -> Chain | None:
    names, steps = step_names(depth), []
    wrong = rng.randrange(depth)
    signs = [rng.choice("+-*") for _ in names]
    if signs.count("*") > 2:
        return None
    for place, (name, sign) in enumerate(zip(names, signs, strict=True)):
        given, right = rng.sample(_CONSTANTS[sign], 2)
        constants = (given, *(k for k in _CONSTANTS[sign] if k != given))
        before = _before(names, place, "x")
        steps.append(
            Step(
                name=name,
                words="",
                readings=tuple(f"def {name}(x):\n    return {before} {sign} {k}" for k in constants),
                meanings=tuple(partial(_with, sign, k) for k in constants),
                right=constants.index(right) if place == wrong else 0,
                constants=constants,
            )
        )
    numbers = rng.sample(range(1, 21), HIDDEN_CASES + 1)
    return Chain(kind="bug", steps=tuple(steps), example=numbers[0], hidden=tuple(numbers[1:]))


def _with(sign: str, k: int, x: int) -> int:
    return _APPLY[sign](x, k)

"""Which traces are made: sequences of attempts that end well, a mix of first tries and repairs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from verl_coder.problems import Problem
from verl_coder.teacher.attempts import Attempt, TriedProblem

_LONG = 1_000
"""Characters of a code beyond which `nearest` compares lines."""


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A trace to be written: the attempts in order, of which the last one passes."""

    problem: Problem
    attempts: tuple[Attempt, ...]
    direct: bool = False
    """The last attempt is the answer at once; the tool is not called."""
    plain: bool = False
    """Direct, and the prompt offers no tool."""

    @property
    def repairs(self) -> bool:
        """At least one attempt fails first."""
        return len(self.attempts) > 1 and not self.direct


def sketches(
    tried: TriedProblem,
    rng: random.Random,
    *,
    max_attempts: int,
    own_first_tries: bool = False,
    own_mends: bool = False,
) -> tuple[list[Sketch], list[Sketch]]:
    """(first tries, repairs) of a problem; first tries have distinct codes, repairs distinct first failures.

    With `own_first_tries` a reference ends repairs only: as a first try it teaches to write as the model does not.
    With `own_mends` it is not there at all, and a repair ends with any of the model's own that pass, so that what is
    taught after a failure is another attempt; else with that which is most like the failing one.
    """
    right = tried.own("passed") if own_mends else tried.right
    failing = tried.own("failed") if max_attempts > 1 else []
    if not right:
        return [], []
    rng.shuffle(failing)
    repairs = []
    for first in failing:
        failures = [first]
        others = [attempt for attempt in failing if attempt is not first]
        for _ in range(rng.randint(0, max_attempts - 2)):
            if others:  # the nearest reads like a change of the one before
                following = rng.choice(others) if own_mends else nearest(failures[-1], others)
                failures.append(others.pop(others.index(following)))
        end = rng.choice(right) if own_mends else nearest(failures[-1], right)
        repairs.append(Sketch(problem=tried.problem, attempts=(*failures, end)))
    rng.shuffle(right)
    tries = [attempt for attempt in right if attempt.origin == "own" or not own_first_tries]
    return [Sketch(problem=tried.problem, attempts=(attempt,)) for attempt in tries], repairs


def nearest(attempt: Attempt, others: Sequence[Attempt]) -> Attempt:
    """The one whose text is most like the attempt's; the first of those that are as near.

    By characters; by lines where texts are long: characters of a model's loop would take minutes.
    """
    if len(others) == 1:
        return others[0]
    is_long = max(len(each.code) for each in (attempt, *others)) > _LONG
    matcher: SequenceMatcher[str] = SequenceMatcher(
        None, b=attempt.code.splitlines() if is_long else attempt.code, autojunk=False
    )

    def ratio(other: Attempt) -> float:
        matcher.set_seq1(other.code.splitlines() if is_long else other.code)
        return matcher.ratio()

    return max(others, key=ratio)


def choose(
    offers: Sequence[tuple[Sequence[Sketch], Sequence[Sketch]]],
    rng: random.Random,
    *,
    per_problem: int,
    failing_share: float,
) -> list[Sketch]:
    """At most `per_problem` sketches of each offer (first tries, repairs), `failing_share` of all being repairs.

    Every problem gives one; further ones are taken round by round, and only of the kind that is short, so that the
    share holds where the offers allow it at all.
    """
    left = [((list(firsts), list(repairs)), [0]) for firsts, repairs in offers]
    rng.shuffle(left)
    # Those with a choice come last: they even out the others.
    left.sort(key=lambda offer: bool(offer[0][0]) and bool(offer[0][1]))
    counts = [0, 0]
    chosen: list[Sketch] = []
    before = -1
    while len(chosen) > before:
        before = len(chosen)
        for pools, taken in left:
            short = int(counts[1] < failing_share * (sum(counts) + 1))
            kind = short if pools[short] or taken[0] else 1 - short
            if pools[kind] and taken[0] < per_problem:
                chosen.append(pools[kind].pop(0))
                counts[kind] += 1
                taken[0] += 1
    return chosen


def make_direct(
    chosen: Sequence[Sketch],
    rng: random.Random,
    *,
    share: float,
    plain_share: float = 0.0,
    own_first_tries: bool = False,
) -> list[Sketch]:
    """The same, of which a share calls no tool and another is offered none: first tries first, and no code twice.

    A trace whose code another one answers with stays as it was, unless all are to be direct: then it is left out. So
    does one that ends in the reference with `own_first_tries`: an answer at once is a first try.
    """
    total = round((share + plain_share) * len(chosen))
    plain = min(round(plain_share * len(chosen)), total)
    shuffled = rng.sample(range(len(chosen)), len(chosen))
    order = sorted(shuffled, key=lambda index: chosen[index].repairs)
    answered: dict[tuple[str, str], int] = {}
    """(problem, code) -> the place of the first trace that answers with it."""
    for index in order:
        last = chosen[index].attempts[-1]
        if last.origin == "own" or not own_first_tries:
            answered.setdefault((chosen[index].problem.problem_id, last.code), index)
    firsts = list(answered.values())[:total]
    plains, directs = set(firsts[:plain]), set(firsts)
    result: list[Sketch] = []
    for index, sketch in enumerate(chosen):
        if index in directs:
            attempts = sketch.attempts[-1:]
            result.append(
                Sketch(problem=sketch.problem, attempts=attempts, direct=True, plain=index in plains)
            )
        elif total < len(chosen):
            result.append(sketch)
    return result

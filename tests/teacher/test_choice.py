"""Which traces are chosen: the mix, the limits, the nearest repair."""

import random
from collections import Counter

import pytest

from verl_coder.problems import AssertTests, Problem
from verl_coder.sandbox import CommandResult
from verl_coder.teacher.attempts import Attempt, Origin, TriedProblem, Verdict
from verl_coder.teacher.choice import Sketch, choose, make_direct, nearest, sketches
from verl_coder.tools.execution import ProgramRun

RUN = ProgramRun(CommandResult(status="Finished", return_code=0), "ok")


def attempt(code: str, verdict: Verdict, origin: Origin = "own") -> Attempt:
    return Attempt(code=code, origin=origin, program=code, run=RUN, told=RUN.text, verdict=verdict)


def tried(name: str, *, passing: int, failing: int, reference: bool = True) -> TriedProblem:
    problem = Problem(
        data_source="toy",
        problem_id=name,
        prompt=({"role": "user", "content": name},),
        tests=AssertTests(tests=("assert f() == 1",)),
        split="train",
    )
    right = [attempt(f"def f(): return {n}", "passed") for n in range(passing)]
    wrong = [attempt(f"def f(): return -{n}", "failed") for n in range(failing)]
    hidden = [attempt("def f(): return 'hidden'", "hidden_failed"), attempt("exit()", "unclear")]
    return TriedProblem(
        problem=problem,
        attempts=(*right, *wrong, *hidden),
        reference=attempt("def f(): return 1", "passed", "reference") if reference and not passing else None,
    )


def chosen(problems: list[TriedProblem], *, per_problem=4, max_attempts=3, failing_share=0.5) -> list[Sketch]:
    offers = [sketches(one, random.Random(0), max_attempts=max_attempts) for one in problems]
    return choose(offers, random.Random(0), per_problem=per_problem, failing_share=failing_share)


def test_about_half_fail_first_and_no_problem_is_left_out() -> None:
    problems = [tried(f"all pass {n}", passing=8, failing=0) for n in range(10)]
    problems += [tried(f"all fail {n}", passing=0, failing=8) for n in range(10)]
    problems += [tried(f"both {n}", passing=3, failing=5) for n in range(10)]
    found = chosen(problems)
    counts = Counter(sketch.problem.problem_id for sketch in found)
    assert len(counts) == 30 and max(counts.values()) == 4
    share = sum(sketch.repairs for sketch in found) / len(found)
    assert 0.45 <= share <= 0.55
    assert len(found) >= 100


@pytest.mark.parametrize(("share", "kinds"), [(0.0, {False}), (1.0, {True})])
def test_the_share_can_be_all_or_nothing(share: float, kinds: set[bool]) -> None:
    found = chosen([tried(f"{n}", passing=2, failing=6) for n in range(5)], failing_share=share)
    assert {sketch.repairs for sketch in found} == kinds


def test_every_trace_ends_well_and_begins_with_a_failure_of_its_own() -> None:
    first, repairs = sketches(tried("p", passing=3, failing=20), random.Random(1), max_attempts=4)
    assert len(first) == 3 and len(repairs) == 20
    assert {len(sketch.attempts) for sketch in repairs} == {2, 3, 4}
    for sketch in [*first, *repairs]:
        codes = [one.code for one in sketch.attempts]
        assert len(set(codes)) == len(codes)
        assert [one.verdict for one in sketch.attempts] == ["failed"] * (len(codes) - 1) + ["passed"]
    assert len({sketch.attempts[0].code for sketch in repairs}) == 20


def test_the_reference_ends_a_trace_only_where_no_sample_passes() -> None:
    _, repairs = sketches(tried("p", passing=0, failing=2), random.Random(0), max_attempts=2)
    assert [sketch.attempts[-1].origin for sketch in repairs] == ["reference"] * 2
    assert sketches(tried("p", passing=0, failing=2, reference=False), random.Random(0), max_attempts=2) == (
        [],
        [],
    )
    first, repairs = sketches(tried("p", passing=0, failing=2), random.Random(0), max_attempts=1)
    assert len(first) == 1 and repairs == []


def test_a_reference_is_no_first_try_where_these_are_to_be_the_models_own() -> None:
    first, repairs = sketches(
        tried("p", passing=0, failing=2), random.Random(0), max_attempts=2, own_first_tries=True
    )
    assert first == [] and [sketch.attempts[-1].origin for sketch in repairs] == ["reference"] * 2
    first, _ = sketches(
        tried("p", passing=2, failing=0), random.Random(0), max_attempts=2, own_first_tries=True
    )
    assert len(first) == 2


def test_where_mends_are_to_be_the_models_own_there_is_no_reference_and_any_of_them_ends_a_repair() -> None:
    nothing = sketches(tried("p", passing=0, failing=2), random.Random(0), max_attempts=2, own_mends=True)
    assert nothing == ([], [])
    first, repairs = sketches(
        tried("p", passing=4, failing=30), random.Random(0), max_attempts=2, own_mends=True
    )
    assert len(first) == 4 and {sketch.attempts[-1].origin for sketch in repairs} == {"own"}
    ends = Counter(sketch.attempts[-1].code for sketch in repairs)
    assert len(ends) == 4 and min(ends.values()) >= 3


def test_the_repair_is_the_passing_code_that_is_most_like_the_failure() -> None:
    near = attempt("def f(values):\n    return sorted(values)[-1]", "passed")
    far = attempt("import heapq\n\n\nclass Heap:\n    pass", "passed")
    assert nearest(attempt("def f(values):\n    return sorted(values)[0]", "failed"), [far, near]) is near


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_direct_answers_are_first_tries_before_repairs_and_never_twice(share: float) -> None:
    found = chosen([tried(f"{n}", passing=2, failing=2) for n in range(8)])
    made = make_direct(found, random.Random(0), share=share)
    direct = [sketch for sketch in made if sketch.direct]
    keys = [(sketch.problem.problem_id, sketch.attempts[-1].code) for sketch in direct]
    assert len(set(keys)) == len(keys) and all(len(sketch.attempts) == 1 for sketch in direct)
    if share < 1:
        assert len(direct) == round(share * len(found)) and len(made) == len(found)
        assert sum(s.repairs for s in made) == sum(s.repairs for s in found)
    else:
        assert len(direct) == len(made)


def test_shares_of_direct_and_of_plain_answers_are_of_different_traces() -> None:
    found = chosen([tried(f"{n}", passing=2, failing=2) for n in range(8)])
    made = make_direct(found, random.Random(0), share=0.25, plain_share=0.25)
    assert sum(sketch.plain for sketch in made) == round(0.25 * len(found))
    assert sum(sketch.direct for sketch in made) == 2 * round(0.25 * len(found))


def test_a_share_is_kept_where_there_are_codes_enough_and_nothing_vanishes() -> None:
    for failing_share in (0.5, 1.0):
        found = chosen([tried(f"{n}", passing=2, failing=2) for n in range(8)], failing_share=failing_share)
        codes = {(sketch.problem.problem_id, sketch.attempts[-1].code) for sketch in found}
        made = make_direct(found, random.Random(0), share=0.9)
        assert len(made) == len(found)
        assert sum(sketch.direct for sketch in made) == min(round(0.9 * len(found)), len(codes))


def test_no_answer_at_once_is_the_reference_where_first_tries_are_to_be_the_models_own() -> None:
    problems = [tried(f"{n}", passing=0, failing=3) for n in range(4)]
    found = [
        s
        for one in problems
        for s in sketches(one, random.Random(0), max_attempts=2, own_first_tries=True)[1]
    ]
    for share in (0.5, 1.0):
        made = make_direct(found, random.Random(0), share=share, own_first_tries=True)
        assert not any(sketch.direct for sketch in made)


def test_shares_that_are_all_together_leave_no_call() -> None:
    found = chosen([tried(f"{n}", passing=1, failing=0) for n in range(5)])
    made = make_direct(found, random.Random(0), share=0.5, plain_share=0.5)
    assert len(made) == 5 and all(sketch.direct for sketch in made)


def test_long_codes_that_repeat_themselves_are_compared_by_lines() -> None:
    """By characters these take minutes."""
    loop = "    total = total + 1\n" * 400
    failing = attempt(f"def f():\n    total = 0\n{loop}    return total", "failed")
    near = attempt(f"def f():\n    total = 1\n{loop}    return total", "passed")
    far = attempt("def f():\n    return 400\n" * 300, "passed")
    assert nearest(failing, [far, near]) is near

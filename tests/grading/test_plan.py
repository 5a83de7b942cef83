"""What a suite becomes before a solution is known."""

import pytest

from verl_coder.grading.plan import make_plan
from verl_coder.grading.programs.decode import Decoder
from verl_coder.problems import AssertTests, FunctionCase, FunctionTests


@pytest.mark.parametrize(("factor", "budget_s"), [(1, 20), (3, 60), (1000, 3000)])
def test_no_limit_is_stretched_beyond_what_a_sandbox_takes(factor: float, budget_s: float) -> None:
    plan = make_plan(AssertTests(tests=("assert f(1) == 1",))).stretched(factor, most_s=3000)
    assert plan.spec.budget_s == budget_s and plan.stretch == budget_s / 20


def arguments_of(*calls):
    cases = tuple(FunctionCase(args=args, expected=0) for args in calls)
    plan = make_plan(FunctionTests(entry_point="f", tests=cases))
    return [Decoder({}, print).decode(item["args"])[0] for item in plan.spec.items]


def test_keys_are_whole_numbers_where_those_of_all_calls_could_be():
    assert arguments_of(({"1": 2},), ({},), ({"-3": 4},)) == [({1: 2},), ({},), ({-3: 4},)]
    assert arguments_of(({"1": 2},), ({"a": 2},)) == [({"1": 2},), ({"a": 2},)]
    assert arguments_of(({"a": 1}, {"1": 2}), ({"2": 1}, 5)) == [({"a": 1}, {1: 2}), ({"2": 1}, 5)]
    assert arguments_of(({"1": 2}, 3), ()) == [({1: 2}, 3), ()]
    assert arguments_of(({"01": 2},), ({1: 2},)) == [({"01": 2},), ({1: 2},)]

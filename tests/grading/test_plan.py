"""What a suite becomes before a solution is known."""

import pytest

from verl_coder.grading.plan import make_plan
from verl_coder.problems import AssertTests


@pytest.mark.parametrize(("factor", "budget_s"), [(1, 20), (3, 60), (1000, 3000)])
def test_no_limit_is_stretched_beyond_what_a_sandbox_takes(factor: float, budget_s: float) -> None:
    plan = make_plan(AssertTests(tests=("assert f(1) == 1",))).stretched(factor, most_s=3000)
    assert plan.spec.budget_s == budget_s and plan.stretch == budget_s / 20

"""Which constant solutions are worth running, and what they look like."""

import json
from typing import Any

import pytest

from verl_coder.data.trivial import trivial_solutions
from verl_coder.grading.programs.compare import same_json
from verl_coder.problems import (
    AssertTests,
    CheckTests,
    FunctionCase,
    FunctionTests,
    Problem,
    PytestTests,
    StdioCase,
    StdioTests,
    TestSuite,
)

CHECK = "def check(candidate):\n    assert candidate(x = 1) == {}\n    assert candidate(x = 2) == {}\n"
PYTEST = (
    "from solution import f\n\ndef test_a():\n    assert f(1) == {}\n\ndef test_b():\n    assert f(2) == {}\n"
)


def suites(first: object, second: object) -> list[TestSuite]:
    return [
        AssertTests(tests=(f"assert f(1) == {first!r}", f"assert f(2) == {second!r}"), entry_point="f"),
        CheckTests(entry_point="Solution().f", check=CHECK.format(repr(first), repr(second))),
        PytestTests(test=PYTEST.format(repr(first), repr(second))),
        FunctionTests(
            entry_point="f",
            tests=(FunctionCase(args=(1,), expected=first), FunctionCase(args=(2,), expected=second)),
        ),
        StdioTests(
            tests=(StdioCase(input="1", output=f"{first}\n"), StdioCase(input="2", output=f"{second}"))
        ),
    ]


def solutions(tests: TestSuite) -> dict[str, str]:
    problem = Problem(
        data_source="toy", problem_id="1", prompt=(), tests=tests, split="train", entry_point="f"
    )
    return dict(trivial_solutions(problem))


@pytest.mark.parametrize("tests", suites(3, 4), ids=lambda tests: tests.style)
def test_no_constant_passes_two_different_results_so_none_is_run(tests: TestSuite) -> None:
    assert solutions(tests) == {}


@pytest.mark.parametrize("tests", suites([7, 7], [7, 7]), ids=lambda tests: tests.style)
def test_where_all_results_are_one_that_one_is_tried(tests: TestSuite) -> None:
    found = solutions(tests)
    assert any("[7, 7]" in name for name in found)
    for code in found.values():
        compile(code, "stub", "exec")


def test_equal_results_of_another_type_are_one_result() -> None:
    assert solutions(AssertTests(tests=("assert f(1) == 1", "assert f(2) == True"), entry_point="f"))


def test_a_stub_has_the_form_that_the_tests_call() -> None:
    check, pytest_module = suites(1, 1)[1:3]
    assert next(iter(solutions(check).values())).startswith("class Solution:\n    def f(self,")
    assert next(iter(solutions(pytest_module).values())).startswith("def f(*args")


@pytest.mark.parametrize("value", [float("nan"), [1, float("nan")], float("-inf"), {"inf": "nan"}])
def test_results_that_are_no_numbers_are_one_result_and_can_be_written(value: object) -> None:
    cases = tuple(FunctionCase(args=(n,), expected=json.loads(json.dumps(value))) for n in range(2))
    found = solutions(FunctionTests(entry_point="f", tests=cases))
    names: dict[str, Any] = {}
    exec(found[f"a function that returns {value!r}"], names)
    assert same_json(names["f"](1), value)


def test_outputs_that_the_grader_takes_for_one_are_one_result() -> None:
    cases = (StdioCase(input="1", output="1.0 2\n"), StdioCase(input="2", output="1.000 2"))
    assert "a program that prints '1.0 2'" in solutions(StdioTests(tests=cases))

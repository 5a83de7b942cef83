"""Hidden tests of another kind than their style's are refused where they are read, not in the grader."""

import json
from typing import Any

import pytest

from verl_coder.errors import DataError
from verl_coder.problems import AssertTests, Problem, parse_test_suite

ASSERT = {"style": "assert", "tests": ["assert f(1) == 1"]}
FUNCTION = {"style": "function", "entry_point": "f", "tests": [{"args": [1], "expected": 1}]}
STDIO = {"style": "stdio", "tests": [{"input": "1", "output": "1"}]}
CHECK = {"style": "check", "entry_point": "f", "check": "def check(candidate): ..."}
PYTEST = {"style": "pytest", "test": "from solution import f"}


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (5, "style is 5"),
        ({"style": ["assert"]}, r"style is \['assert'\]"),
        (ASSERT | {"tests": "assert f(1)"}, "tests is 'assert f.1.'; give a list"),
        (ASSERT | {"tests": [1]}, r"tests\[0\] is 1; give a text"),
        (ASSERT | {"timeout_s": "soon"}, "timeout_s is 'soon'; give a number above 0"),
        (ASSERT | {"timeout_s": -1}, "timeout_s is -1; give a number above 0"),
        (ASSERT | {"load_timeout_s": "2"}, "load_timeout_s is '2'; give a number above 0"),
        (ASSERT | {"memory_mb": 0}, "memory_mb is 0; give a whole number above 0"),
        (ASSERT | {"memory_mb": 512.5}, "memory_mb is 512.5; give a whole number above 0"),
        (
            ASSERT | {"memory_mb": 5_000_000},
            "memory_mb is 5000000; give a whole number above 0, at most 4194304, or null",
        ),
        (ASSERT | {"timeout_s": 4000}, "timeout_s is 4000; give a number above 0, at most 1200, or null"),
        (ASSERT | {"load_timeout_s": 10**400}, "at most 1200, or null"),
        (ASSERT | {"memory_mb": True}, "memory_mb is True"),
        (FUNCTION | {"entry_point": None}, "lacks or has a wrong field: .*entry_point"),
        (FUNCTION | {"entry_point": 5}, "entry_point is 5; give a text"),
        (FUNCTION | {"tests": [{"args": "ab", "expected": 1}]}, "args is 'ab', no list"),
        (STDIO | {"tests": [{"input": 1, "output": "1"}]}, r"tests\[0\].input is 1; give a text"),
        (STDIO | {"tests": [{"input": "1", "output": None}]}, r"tests\[0\].output is None; give a text"),
        (CHECK | {"check": None}, "lacks or has a wrong field"),
        (PYTEST | {"test": 5}, "test is 5; give a text"),
    ],
)
@pytest.mark.parametrize("written", [json.dumps, lambda value: value], ids=["text", "object"])
def test_a_value_of_another_kind_is_named(suite: Any, words: str, written: Any) -> None:
    with pytest.raises(DataError, match=words) as caught:
        parse_test_suite(written(suite))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suite", [ASSERT, FUNCTION, STDIO, CHECK, PYTEST], ids=lambda suite: suite["style"])
def test_a_null_is_what_is_not_said(suite: dict[str, Any]) -> None:
    nulls: dict[str, Any] = {"timeout_s": None, "memory_mb": None, "classes": None, "class_name": None}
    assert parse_test_suite(suite | nulls) == parse_test_suite(suite)


ROW = Problem(
    data_source="toy",
    problem_id="toy/1",
    prompt=({"role": "user", "content": "Add."},),
    tests=AssertTests(tests=("assert f(1) == 1",)),
    split="train",
).to_row()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_source": None}, "data_source is None; give it a text"),
        ({"extra_info": {**ROW["extra_info"], "split": None}}, "extra_info.split is None; give it a text"),
        ({"prompt": [{"role": "user", "content": None}]}, r"prompt\[0\].content is None; give it a text"),
        ({"prompt": [{"role": "user"}]}, r"prompt\[0\].content is None; give it a text"),
        ({"reward_model": {"ground_truth": "[" * 5000 + "]" * 5000}}, "ground_truth"),
    ],
)
def test_a_row_with_a_null_where_a_text_must_be_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        Problem.from_row({**ROW, **change})
    assert "\n" not in str(caught.value)


def test_what_a_row_may_leave_unsaid_may_be_null() -> None:
    said = Problem.from_row(ROW)
    unsaid = {**ROW, "agent_name": None, "extra_info": {**ROW["extra_info"], "pass_rate": float("nan")}}
    assert Problem.from_row(unsaid) == said and said.pass_rate is None

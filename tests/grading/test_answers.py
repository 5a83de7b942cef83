"""What each style of tests asks of an answer, and that all who read a completion with its tests read one code."""

import asyncio
import inspect
import json
from pathlib import Path

import pytest

from verl_coder import rewards
from verl_coder.evaluation import session
from verl_coder.grading import cli
from verl_coder.grading.answers import answer_code, asked_names
from verl_coder.problems import (
    AssertTests,
    CheckTests,
    FunctionCase,
    FunctionTests,
    PytestTests,
    StdioCase,
    StdioTests,
    TestSuite,
)
from verl_coder.teacher import repair_rows, samples, synthesis
from verl_coder.tiny import environment

CASE = FunctionCase(args=(1,), expected=1)
CUBE = "def cube(x):\n    return x ** 3\n"
TEXT = f"```python\n{CUBE}```\nSlower:\n```python\ndef brute(x):\n    return x * x * x\n```\n"


@pytest.mark.parametrize(
    ("tests", "asked"),
    [
        (AssertTests(tests=("assert cube(2) == 8",)), {"cube"}),
        (AssertTests(tests=("assert math.isclose(cube(2), 8)",), setup="import math"), {"cube"}),
        (AssertTests(tests=("assert decode(encode('a')) == 'a'",)), {"encode", "decode"}),
        (AssertTests(tests=("assert cube(2) == 8",), entry_point="cube"), {"cube"}),
        (
            CheckTests(entry_point="cube", check="def check(candidate):\n    assert candidate(2) == 8\n"),
            {"cube"},
        ),
        (
            CheckTests(
                entry_point="Solution().cube", check="def check(candidate):\n    assert candidate(x=2) == 8\n"
            ),
            {"Solution.cube"},
        ),
        (
            PytestTests(test="from solution import cube\n\ndef test_it():\n    assert cube(2) == 8\n"),
            {"cube"},
        ),
        (PytestTests(test="import solution as s\n\ndef test_it():\n    assert s.cube(2) == 8\n"), {"cube"}),
        (PytestTests(test="import solution\n\ndef test_it():\n    assert solution.cube(2) == 8\n"), {"cube"}),
        (
            PytestTests(
                test="import pytest\nfrom solution import *\n\ndef test_it(tmp_path):\n    assert cube(2)\n"
            ),
            {"cube"},
        ),
        (
            PytestTests(
                test="from solution import *\n\ndef test_it():\n    assert Counter().n == 0\n",
                classes=("Counter",),
            ),
            {"Counter"},
        ),
        (StdioTests(tests=(StdioCase(input="1", output="1"),)), set()),
        (AssertTests(tests=("assert (",)), set()),
        (PytestTests(test="def test_it(:"), set()),
    ],
)
def test_the_names_that_tests_ask_for(tests: TestSuite, asked: set[str]) -> None:
    assert set().union(*asked_names(tests)) == asked


@pytest.mark.parametrize(
    ("class_name", "asked"),
    [(None, {"cube", "Solution.cube"}), ("A", {"cube", "A.cube"})],
)
def test_a_function_may_be_a_method_and_the_other_way_round(class_name: str | None, asked: set[str]) -> None:
    tests = FunctionTests(entry_point="cube", class_name=class_name, tests=(CASE,))
    assert asked_names(tests) == (frozenset(asked),)


def test_the_code_has_what_the_tests_ask_for() -> None:
    assert answer_code(TEXT, AssertTests(tests=("assert cube(2) == 8",))) == CUBE
    assert "brute" in (answer_code(TEXT, AssertTests(tests=("assert brute(2) == 8",))) or "")


@pytest.mark.parametrize("module", [rewards, session, cli, synthesis, repair_rows, samples, environment])
def test_all_that_grade_take_the_code_from_one_function(module: object) -> None:
    source = inspect.getsource(module)  # type: ignore[arg-type]
    assert "answer_code(" in source and "extract_code" not in source


def test_the_shell_and_the_reward_read_one_code_of_a_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    codes: list[str] = []

    async def kept(code: str, *_: object, **__: object) -> None:
        codes.append(code)
        raise KeyError("seen")

    text = f"{TEXT}\n<program>\nprint(1)\n</program>\nDone."
    truth = json.dumps({"style": "assert", "tests": ["assert cube(2) == 8"]})
    row = {"agent_name": "tool_agent", "reward_model": {"ground_truth": truth}}
    (tmp_path / "row.json").write_text(json.dumps(row))
    (tmp_path / "answer.txt").write_text(text)
    monkeypatch.setenv("SANDBOX_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(rewards, "grade", kept)
    monkeypatch.setattr(cli, "_grade", kept)
    with pytest.raises(KeyError):
        asyncio.run(rewards.grade_answer(text, truth))
    with pytest.raises(KeyError):
        cli.grade(tmp_path / "row.json", tmp_path / "answer.txt", url="http://127.0.0.1:1")
    assert codes[0] == codes[1]

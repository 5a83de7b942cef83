"""Visible tests: run as the tools run them, and those that a right solution fails are shown to nobody."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from verl_coder.data import write_rows
from verl_coder.data.prepared import iter_rows
from verl_coder.data.recheck import recheck
from verl_coder.data.shown_tests import shown_tests, without_false_examples
from verl_coder.data.verdicts import verdict_key
from verl_coder.data.verification import VerifyOptions, verify_problem
from verl_coder.problems import AssertTests, CheckTests, Problem
from verl_coder.prompts import build_prompt, visible_tests_of
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

HEAD = 'def f(x):\n    """Half of x.\n    >>> f(4)\n    2.0\n    >>> f(3)\n    7.5\n    """\n'


def posed(*examples: str, **changes: Any) -> Problem:
    starter = changes.pop("starter_code", "")
    values: dict[str, Any] = {
        "data_source": "toy",
        "problem_id": "toy/1",
        "prompt": build_prompt(
            "Half of x.", style="check", examples=examples, starter_code=starter, entry_point="f"
        ),
        "tests": CheckTests(entry_point="f", check="def check(f):\n    assert f(8) == 4 and f(2) == 1\n"),
        "split": "train",
        "entry_point": "f",
        "starter_code": starter,
        "reference_solution": "def f(x):\n    return x / 2\n",
        **changes,
    }
    return Problem(**values)


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as server:
        yield server.url


def test_hidden_tests_that_are_shown_too_are_not_run_again_and_keep_their_verdicts() -> None:
    hidden = AssertTests(tests=("assert f(4) == 2", "assert f(2) == 1"), setup="import math")
    same = posed("assert f(2) == 1", tests=hidden, tool_prelude="import math")
    assert shown_tests(same) == "" and verdict_key(same) == verdict_key(posed(tests=hidden))
    for changes in ({"tool_prelude": ""}, {"tests": replace(hidden, tests=("assert f(4) == 2",))}):
        other = replace(same, **changes)
        assert shown_tests(other) == "assert f(2) == 1"
        assert verdict_key(other) != verdict_key(posed(tests=other.tests))
    assert shown_tests(posed()) == ""
    # Grading gives what an answer forgot to import, the tools do not.
    uses_math = "assert math.isclose(f(2), 1)"
    forgot = AssertTests(tests=(uses_math,))
    assert shown_tests(posed(uses_math, tests=forgot)) == uses_math
    knows = posed(uses_math, tests=forgot, reference_solution="import math\ndef f(x):\n    return x / 2\n")
    assert shown_tests(knows) == ""
    behind = ("x = 4", "assert f(x) == 2")
    setup = AssertTests(tests=behind[1:], setup="x = 4")
    assert shown_tests(posed(*behind, tests=setup)) == ""
    assert shown_tests(posed(*behind[1:], tests=setup)) == "assert f(x) == 2"


def test_those_that_the_reference_fails_are_found_and_left_out(sandbox_url: str) -> None:
    examples = ("assert f(4) == 2", "assert f(3) == 7.5", "assert math.isclose(f(1), .5)", "assert g(1) == 1")

    async def false_ones(problem: Problem) -> tuple[str, ...]:
        async with SandboxClient(sandbox_url) as client:
            verdict = await verify_problem(problem, client)
        assert verdict.status == "passed"
        return verdict.false_examples

    problem = posed(*examples, tool_prelude="import math")
    false = asyncio.run(false_ones(problem))
    assert false == (examples[1], examples[3])
    shown = visible_tests_of(without_false_examples(problem, false).prompt)
    assert shown == "\n".join((examples[0], examples[2]))
    assert asyncio.run(false_ones(posed(starter_code=HEAD))) == ("assert f(3) == 7.5",)
    needs = ("x = [4,\n     6]", "assert f(x[0]) == (\n    2)", "x.pop()", "assert f(x[1]) == 3")
    assert asyncio.run(false_ones(posed(*needs))) == (needs[3],)
    untold = posed("assert f(4) == 2", "import os\nos._exit(0)", "assert f(3) == 1")
    assert asyncio.run(false_ones(untold)) == ()


def test_written_rows_lose_them_when_they_are_verified_again(tmp_path: Path, sandbox_url: str) -> None:
    problem = posed(starter_code=HEAD)
    [made] = write_rows([problem], tmp_path / "a" / "train.parquet")
    options = VerifyOptions(sandbox_url=sandbox_url)
    for _ in range(2):  # the second time from the cache
        result = recheck([made.path], tmp_path / "b", options)
        [row] = iter_rows(tmp_path / "b" / "train.parquet")
        assert result.false_examples == {"toy/1": ("assert f(3) == 7.5",)}
        assert visible_tests_of(row["prompt"]) == "assert f(4) == 2.0"
        assert Problem.from_row(row) == replace(problem, prompt=Problem.from_row(row).prompt)
    card = json.loads((tmp_path / "b" / "card.json").read_text())
    assert card["false_examples"] == {"toy/1": ["assert f(3) == 7.5"]}

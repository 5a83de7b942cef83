"""How the grader's own programs reach a sandbox."""

import asyncio
import importlib.util

import pytest

from verl_coder.errors import SandboxUnavailableError
from verl_coder.grading import bundle, grade, grader
from verl_coder.problems import FunctionCase, FunctionTests
from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

DOUBLE = FunctionTests(entry_point="f", tests=(FunctionCase(args=(3,), expected=6),))
OURS = "print([name for name in sys.modules if name.startswith('verl_coder.grading')])"


def outcomes_and_form(url):
    async def work():
        async with SandboxClient(url) as client:
            codes = ["def f(x): return 2 * x", "def f(x): return 3 * x"]
            outcomes = [(await grade(code, DOUBLE, client)).outcome for code in codes]
            return outcomes, grader._forms.get(client, "held")

    return asyncio.run(work())


def test_a_sandbox_that_holds_the_programs_is_sent_none(sandbox_url):
    assert outcomes_and_form(sandbox_url) == (["passed", "failed"], "held")


def test_a_sandbox_that_holds_none_is_sent_them():
    with EmbeddedSandbox(extra=["--hold", ""]) as sandbox:
        assert outcomes_and_form(sandbox.url) == (["passed", "failed"], "bytecode")


def test_a_sandbox_that_holds_others_is_sent_them(sandbox_url, monkeypatch):
    monkeypatch.setattr(bundle, "_digest", lambda main: "of another version")
    bundle.program_code.cache_clear()
    try:
        assert outcomes_and_form(sandbox_url) == (["passed", "failed"], "bytecode")
    finally:
        bundle.program_code.cache_clear()


def test_a_sandbox_of_another_python_is_sent_source(sandbox_url, monkeypatch):
    monkeypatch.setattr(bundle, "_digest", lambda main: "of another version")
    monkeypatch.setattr(importlib.util, "MAGIC_NUMBER", b"\0\0\r\n")
    bundle.program_code.cache_clear()
    bundle.program_files.cache_clear()
    try:
        assert outcomes_and_form(sandbox_url) == (["passed", "failed"], "source")
    finally:
        bundle.program_code.cache_clear()
        bundle.program_files.cache_clear()


def test_a_plain_program_finds_nothing_of_what_is_held(sandbox_url):
    async def work():
        async with SandboxClient(sandbox_url) as client:
            return await client.run_code(RunRequest(code="import sys\n" + OURS))

    assert asyncio.run(work()).run_result.stdout == "[]\n"


def test_the_digest_is_that_of_the_source():
    first, second = (bundle.program_code("judge_main", "held") for _ in range(2))
    assert first == second and bundle._digest("judge_main") != bundle._digest("candidate_main")


@pytest.mark.parametrize("place", ["nowhere.at.all:programs", "json:nothing", "json:dumps"])
def test_programs_that_are_not_there_are_one_line(place):
    with (
        pytest.raises(SandboxUnavailableError, match=f"--hold {place}"),
        EmbeddedSandbox(extra=["--hold", place]),
    ):
        pass

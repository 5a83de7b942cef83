"""Every style is graded in every isolation mode that protects."""

import asyncio

import pytest

from verl_coder.errors import SandboxUnavailableError
from verl_coder.grading import grade
from verl_coder.problems import (
    AssertTests,
    CheckTests,
    FunctionCase,
    FunctionTests,
    PytestTests,
    StdioCase,
    StdioTests,
)
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

RIGHT = "import sys\ndef f(x):\n    return 2 * x\nif __name__ == '__main__':\n    print(f(int(input())))\n"
SUITES = (
    FunctionTests(entry_point="f", tests=(FunctionCase(args=(3,), expected=6),)),
    AssertTests(tests=("assert f(3) == 6", "x = f(3)\nassert x == 6"), entry_point="f"),
    CheckTests(entry_point="f", check="def check(candidate):\n    assert candidate(3) == 6\n"),
    PytestTests(test="from solution import f\ndef test_it():\n    assert f(3) == 6\n"),
    PytestTests(
        test="import pytest\nfrom solution import f\n@pytest.mark.parametrize('x', [3])\n"
        "def test_it(x, capsys):\n    assert f(x) == 6\n"
    ),
    StdioTests(tests=(StdioCase(input="3\n", output="6\n"),)),
)


@pytest.mark.parametrize("mode", ["namespaces", "light"])
def test_right_passes_and_wrong_fails(mode):
    async def work():
        with EmbeddedSandbox(isolation=mode) as sandbox:
            async with SandboxClient(sandbox.url) as client:
                right = [await grade(RIGHT, suite, client) for suite in SUITES]
                wrong = [await grade(RIGHT.replace("2 *", "3 *"), suite, client) for suite in SUITES]
            return right, wrong

    try:
        right, wrong = asyncio.run(work())
    except SandboxUnavailableError as error:
        if "does not allow isolation" not in str(error):
            raise
        pytest.skip(f"{mode}: {error}")
    assert [report.outcome for report in right] == ["passed"] * len(SUITES), [r.explain() for r in right]
    assert [report.outcome for report in wrong] == ["failed"] * len(SUITES), [r.explain() for r in wrong]

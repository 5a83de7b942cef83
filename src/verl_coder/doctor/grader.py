"""The grader over this sandbox: a right and a wrong answer of every style of tests must get their verdicts."""

import asyncio
from typing import NamedTuple

from verl_coder.doctor.check import CheckResult, DoctorCheck, failed, of_each_server, passed, warned
from verl_coder.doctor.situation import Situation
from verl_coder.grading import TestReport, grade
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
from verl_coder.sandbox import SandboxClient

_LIES = (
    "a verdict is wrong over this sandbox: `verl-coder grade --explain` shows one; take the embedded sandbox"
)


class Known(NamedTuple):
    """Tests, an answer that passes them and one that does not."""

    tests: TestSuite
    right: str
    wrong: str


_DOUBLE = Known(AssertTests(tests=("assert f(2) == 4", "assert f(3) == 6")), *(
    f"def f(x):\n    return x * {factor}\n" for factor in (2, 3)
))  # fmt: skip
KNOWN: dict[str, Known] = {
    "assert": _DOUBLE,
    "function": _DOUBLE._replace(
        tests=FunctionTests(entry_point="f", tests=(FunctionCase(args=(2,), expected=4),))
    ),
    "check": _DOUBLE._replace(
        tests=CheckTests(entry_point="f", check="def check(candidate):\n    assert candidate(5) == 10\n")
    ),
    "pytest": _DOUBLE._replace(
        tests=PytestTests(test="from solution import f\n\ndef test_f():\n    assert f(2) == 4\n")
    ),
    "stdio": Known(
        StdioTests(tests=(StdioCase(input="1 2\n", output="3\n"),)),
        "print(sum(map(int, input().split())))",
        "print(4)",
    ),
}
"""Style of tests -> a suite and its two answers."""


async def _grade_all(client: SandboxClient) -> list[tuple[str, str, TestReport]]:
    answers = [
        (style, wanted, grade(code, known.tests, client))
        for style, known in KNOWN.items()
        for wanted, code in (("passed", known.right), ("failed", known.wrong))
    ]
    reports = await asyncio.gather(*(grading for *_, grading in answers))
    return [(style, wanted, report) for (style, wanted, _), report in zip(answers, reports, strict=True)]


def _verdicts(situation: Situation, url: str) -> CheckResult:
    found = situation.ask_sandbox(url, _grade_all)
    for style, wanted, report in found:
        if report.outcome != wanted:
            which = "right" if wanted == "passed" else "wrong"
            words = f"{report.outcome}: {report.message}".rstrip(": ")[:160]
            return failed(f"the {which} answer to tests of style {style!r} came back as {words}", _LIES)
    return passed(f"a right and a wrong answer of each style: {', '.join(KNOWN)}")


def _strength(situation: Situation, url: str) -> CheckResult:
    if situation.ask_sandbox(url, lambda client: client.supports_pairs()):
        return passed("tests and solution run in two isolations (/run_pair)")
    return warned(
        "the server has no /run_pair: tests and solution run as two processes of one request",
        "the embedded server (verl-coder sandbox serve) has it",
    )


CHECKS = (
    DoctorCheck(name="grader-verdicts", component="grader", look=of_each_server(_verdicts), fix=_LIES),
    DoctorCheck(
        name="grader-pairs", component="grader", look=of_each_server(_strength), fix="start the sandbox"
    ),
)

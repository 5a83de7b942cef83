"""Visible tests as the last lines of a program: what stands there, and what they print."""

import contextlib
import io

import pytest

from verl_coder.prompts import build_prompt, visible_tests_of
from verl_coder.sandbox import CommandResult
from verl_coder.teacher.checks import visible_check
from verl_coder.tools.execution import ProgramRun
from verl_coder.tools.output import format_output


def printed(solution: str, tests: str) -> str:
    check = visible_check(tests)
    assert check is not None
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        exec(f"{solution}\n\n{check.code}", {})
    return stdout.getvalue()


def ran(
    stdout: str, *, stderr: str = "", return_code: int | None = 0, status: str = "Finished"
) -> ProgramRun:
    result = CommandResult(status=status, return_code=return_code, stdout=stdout, stderr=stderr)  # type: ignore[arg-type]
    return ProgramRun(result, format_output(result, timeout_s=1, traceback_lines=10, max_chars=200))


def test_operands_of_equalities_keep_their_source_text() -> None:
    check = visible_check("assert f(1,'a')==(  2)\nassert f( 0x10 ) == [1,\n 2], 'why'")
    assert check is not None and check.ok_lines == 2
    assert check.code == (
        "for got, want in [\n    (f(1,'a'), 2),\n    (f( 0x10 ), [1,\n 2]),\n]:\n"
        '    print("ok" if got == want else f"wrong: got {got!r}, want {want!r}")'
    )


def test_each_example_prints_a_line() -> None:
    tests = "assert f(1) == 2\nassert f(2) == 'x'"
    assert printed("def f(n):\n    return n + 1", tests) == "ok\nwrong: got 3, want 'x'\n"


@pytest.mark.parametrize(
    ("tests", "ok_lines"),
    [
        ("assert f(1)", 1),
        ("assert f(1) == 2\nassert not f(-1)", 2),
        ("import math\nassert math.isclose(f(1), 2)\nassert f(1) == 2", 2),
        ("x = 1\nassert f(x) == 2\nx = -1\nassert f(x) == 0", 1),
        ("assert f(0) == 1 == f(0)", 1),
    ],
)
def test_other_asserts_stay_and_end_in_one_ok(tests: str, ok_lines: int) -> None:
    check = visible_check(tests)
    assert check is not None and check.ok_lines == ok_lines
    output = printed("def f(n):\n    return n + 1", tests)
    assert check.passed(ran(output.strip()))
    with pytest.raises(AssertionError):
        printed("def f(n):\n    return None if n < 0 else 0", "assert f(-1) == 0 != 1")


def test_what_is_no_assert_is_no_check() -> None:
    for tests in ("", "f(1) is 2", "assert f(1) ==", "print(f(1))", "assert f('\0') == 1"):
        assert visible_check(tests) is None


def test_an_output_is_right_wrong_or_neither() -> None:
    check = visible_check("assert f(1) == 1\nassert f(2) == 2")
    assert check is not None
    assert check.passed(ran("ok\nok")) and check.passed(ran("noise of the solution\nok\nok"))
    for run in (ran("ok"), ran("ok\nok\nnoise"), ran("ok\nok", return_code=1), ran("(no output)")):
        assert not check.passed(run)
    assert check.failed(ran("ok\nwrong: got 1, want 2")) and check.failed(ran("", return_code=1))
    assert check.failed(ran("", return_code=None, status="TimeLimitExceeded"))
    assert not check.failed(ran("(no output)"))


def test_a_warning_on_stderr_does_not_make_a_right_output_unclear() -> None:
    check = visible_check("assert f(1) == 1\nassert f(2) == 2")
    assert check is not None
    assert check.passed(ran("ok\nok\n", stderr="/main.py:2: SyntaxWarning: invalid escape sequence\n  f\n"))
    assert not check.passed(ran("ok\n", stderr="ok\n")), "what stands on stderr is no example's line"
    assert not check.passed(ran(f"{'x' * 300}\nok\nok\n", stderr="y" * 300)), "the model does not read it"
    assert not check.passed(ran("wrong: got 1, want 2\nok\n", stderr="a warning\n"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_visible_tests_come_back_from_the_prompt_as_they_were(language) -> None:
    examples = ("assert f(1) == 2", "assert f(\n    2) == 3")
    statement = "Add.\n\nYour code should satisfy these tests:\nnone"
    prompt = build_prompt(statement, style="assert", language=language, examples=examples)
    assert visible_tests_of(prompt) == "\n".join(examples)
    assert visible_tests_of(build_prompt("Add.", style="assert", language=language)) == ""

"""What a debugger is asked about a failing attempt, and what is said of its answer."""

import pytest

from verl_coder.sandbox import CommandResult
from verl_coder.teacher.attempts import Attempt
from verl_coder.teacher.debugging import commands_for, what_it_shows
from verl_coder.tools.execution import ProgramRun

TESTS = "assert f(1, [2]) == 3\nassert f(4, [5, 6]) == 15\nassert f(0, []) == 0"


def attempt(code: str, printed: str, *, return_code: int = 0) -> Attempt:
    run = ProgramRun(CommandResult(status="Finished", return_code=return_code), printed)
    return Attempt(code=code, origin="own", program=code, run=run, told=printed, verdict="failed")


@pytest.mark.parametrize(
    ("printed", "commands"),
    [
        ("wrong: got 1, want 3\nok\nok", "break f\nrun\nreturn"),
        ("ok\nwrong: got 9, want 15\nok", "break f if a == 4 and b == [5, 6]\nrun\nreturn"),
        ("noise\nok\nok\nwrong: got 1, want 0", "break f if a == 0 and b == []\nrun\nreturn"),
        ("ok\nok\nok", ""),
        ("wrong: got 1, want 3", ""),
    ],
)
def test_a_wrong_value_is_looked_at_in_the_call_that_gives_it(printed: str, commands: str) -> None:
    assert commands_for(attempt("def f(a, b):\n    return a", printed), TESTS) == commands


def test_an_error_is_where_the_program_stops_by_itself() -> None:
    failed = attempt("def f(a, b):\n    return c", "NameError: name 'c' is not defined", return_code=1)
    assert commands_for(failed, TESTS) == "run"
    assert commands_for(attempt("def f(a, b)", "SyntaxError: expected ':'", return_code=1), TESTS) == ""


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("f = lambda a: a", "assert f(1) == 2"),
        ("def f(a): return a", "assert f(f(1)) == 2"),
        ("def f(a): return a", "x = 1"),
        ("def f(a): return a", "assert f(0) == 0\nassert f(a=1) == 2"),
        ("def f(a): return a", "assert f(1)\nassert f(2) == 3"),
        ("def f(*a): return a", "assert f(0) == (0,)\nassert f(1) == 2"),
        ("def f(a): return a", f"assert f(0) == 0\nassert f({'1' * 90}) == 2"),
    ],
)
def test_a_call_that_cannot_be_told_apart_is_not_looked_at(code: str, tests: str) -> None:
    printed = "wrong: got 1, want 2" if tests.count("assert") < 2 else "ok\nwrong: got 1, want 2"
    assert commands_for(attempt(code, printed), tests) == ""


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            "> run\nbreakpoint at line 2 in f\n->   2      total = 0\nxs = [5]\n"
            "> return\nabout to return 4 at line 5 in f\n->   5      return total\nxs = [5]\ntotal = 4",
            "It returns 4 in line 5 with total = 4",
        ),
        (f"about to return {'9' * 81} at line 5 in f\nn = 1", "It returns in line 5 with n = 1"),
        (
            "leaving by KeyError: 'a' at line 2 in f\n->   2      return d[k]\nk = 'a'",
            "KeyError in line 2 with k = 'a'",
        ),
        (
            "IndexError: list index out of range at line 2 in f\n->   2      total = xs[0]\nxs = []",
            "IndexError in line 2 with xs = []",
        ),
        (
            "the program was still running at its time limit and was stopped where it is\ninterrupted at line 2 in f\n"
            "->   2      while True:\nn = 1",
            "It is still in line 2 with n = 1",
        ),
        ("AssertionError at line 7 in <module>\n->   7  assert g(1) == 2", ""),
        ("breakpoint at line 3 in f\n->   3  def g(a): pass", ""),
        ("SyntaxError: expected ':' (main.py, line 1)", ""),
    ],
)
def test_what_is_said_is_the_place_and_the_last_variable(told: str, sentence: str) -> None:
    assert what_it_shows(told) == sentence

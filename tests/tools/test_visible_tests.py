"""The tests of a prompt as a program that says of each whether it holds."""

import contextlib
import io

import pytest

from verl_coder.tools.visible_tests import visible_tests


def verdicts(code, tests):
    found = visible_tests(tests)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(f"{code}\n{found.code}", {})
    lines = printed.getvalue().splitlines()
    assert len(lines) == found.tests
    return lines


def test_each_test_has_its_verdict():
    tests = (
        "import math\nassert f(1) == 2\nassert f('a') == 'aa'\nassert math.isclose(f(0.5), 1)\nassert f(None)"
    )
    assert verdicts("def f(x):\n    return x * 2 if x != 'a' else 'b'", tests) == [
        "test 1: passed",
        "test 2: failed: f('a') is 'b', want 'aa'",
        "test 3: passed",
        "test 4: TypeError: unsupported operand type(s) for *: 'NoneType' and 'int'",
    ]


def test_what_stands_between_the_tests_runs_too():
    assert verdicts("def f(x):\n    x.append(1)", "a = []\nf(a)\nassert a == [1]\nassert a") == [
        "test 1: passed",
        "test 2: passed",
    ]


@pytest.mark.parametrize("tests", ["", "Input\n3\nOutput\n6", "x = 1"])
def test_a_text_without_assert_statements_has_no_tests(tests):
    assert visible_tests(tests) is None

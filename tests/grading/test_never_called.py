"""Tests that look at a function and never call it are about it, and about no builtin."""

import pytest

from verl_coder.grading import grade
from verl_coder.problems import AssertTests

CODE = "def f(a, b=2): return a\n"


@pytest.mark.parametrize(
    "test",
    [
        "import inspect\nassert len(inspect.signature(f).parameters) == 2",
        "import inspect\nassert list(inspect.signature(f).parameters) == ['a', 'b']",
        "from inspect import signature\nassert str(signature(f)) == '(a, b=2)'",
        "import inspect\nassert set(inspect.signature(f).parameters.keys()) == {'a', 'b'}",
        "assert callable(f) and len(f.__name__) == 1",
    ],
)
def test_the_function_that_is_looked_at_is_found(test, with_pair_client):
    suite = AssertTests(tests=(test,))
    assert with_pair_client(lambda client: grade(CODE, suite, client)).outcome == "passed"
    wrong = CODE.replace("b=2", "b=3, *c").replace("def f", "def f_f")
    attack = wrong + "def len(x): return 2\ndef list(x): return ['a', 'b']\ndef str(x): return '(a, b=2)'\n"
    attack += "def set(x): return {'a', 'b'}\ndef callable(x): return True\n"
    for code in (wrong + "f = f_f\n", attack + "f = f_f\n"):
        passes = with_pair_client(lambda client, c=code: grade(c, suite, client)).outcome == "passed"
        assert not passes


def test_a_function_with_a_builtin_s_name_is_still_asked_for(with_pair_client):
    suite = AssertTests(tests=("assert sorted([2, 1]) == [2, 1, 0]",))
    code = "def sorted(a): return a + [0]\n"
    assert with_pair_client(lambda client: grade(code, suite, client)).outcome == "passed"

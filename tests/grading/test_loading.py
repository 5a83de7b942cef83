"""What a solution finds when it is loaded: the names of a header, its own before them, its whole depth of recursion."""

import pytest

from verl_coder.grading import grade
from verl_coder.grading.programs.loading import add_header, find_entry
from verl_coder.problems import AssertTests, FunctionCase, FunctionTests, PytestTests

DEEP = "def f(n): return 0 if n == 0 else 1 + f(n - 1)"


def asked_for(name, args, expected, **fields):
    return FunctionTests(entry_point=name, tests=(FunctionCase(args=args, expected=expected),), **fields)


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("class Solution:\n    def search(self, x): return x + 1", asked_for("search", (1,), 2)),
        ("class Solution:\n    def gcd(self, a, b): return gcd(a, b)", asked_for("gcd", (4, 6), 2)),
        (
            "class Solution:\n    def __init__(self): self.m = Counter('ab')\n"
            "    def Counter(self, s): return self.m[s] + Counter(s)[s]",
            asked_for("Counter", ("a",), 2, class_name="Solution"),
        ),
        ("six = gcd(6, 12)\ndef gcd(a, b): return six", asked_for("gcd", (1, 2), 6)),
        (
            "x = [gcd(6, 12)]\nclass Solution:\n    def gcd(self, a, b): return x[0]",
            asked_for("gcd", (1, 2), 6),
        ),
        ("from math import gcd", asked_for("gcd", (4, 6), 2)),
        ("from math import *", asked_for("gcd", (4, 6), 2)),
        ("import math\ngcd = math.gcd", asked_for("gcd", (4, 6), 2)),
        ("def search(x): return x + 1", asked_for("search", (1,), 2, class_name="Solution")),
    ],
)
def test_what_the_solution_defines_is_called_and_not_what_the_header_imports(code, tests, with_client):
    report = with_client(lambda client: grade(code, tests, client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize(
    "code", ["x = 1  # gcd", "x = gcd(4, 6)", "def f():\n    from math import gcd", "from os import *  # gcd"]
)
def test_a_name_of_the_header_is_no_solution(code, with_pair_client):
    tests = asked_for("gcd", (4, 6), 2)
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert report.outcome == "error" and "name 'gcd' is not defined" in report.message


def test_a_line_of_the_header_that_this_python_lacks_costs_only_itself():
    names = {}
    brought = add_header(
        "from math import gcd\nfrom math import nothing\nimport nowhere\nimport re\n", ["f"], names
    )
    assert {"gcd", "re"} <= names.keys() and not brought


def test_a_name_that_the_header_brings_is_there_and_is_no_entry():
    names = {"sqrt": abs}
    brought = add_header("from math import gcd, sqrt\n", ["gcd", "sqrt"], names)
    assert brought.keys() == {"gcd"} <= names.keys()
    with pytest.raises(NameError, match="'gcd'"):
        find_entry(["gcd", "Solution().gcd"], names, brought)


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        (DEEP, AssertTests(tests=("assert f(997) == 997",))),
        (DEEP, PytestTests(test="from solution import f\n\ndef test(): assert f(996) == 996")),
        (f"{DEEP}\nf(998)", AssertTests(tests=("assert f(1) == 1",))),
    ],
)
def test_a_solution_recurses_as_deeply_as_in_a_program_of_its_own(code, tests, with_client):
    report = with_client(lambda client: grade(code, tests, client))
    assert report.outcome == "passed", report.explain()


def test_a_recursion_without_end_still_raises(with_client):
    tests = AssertTests(tests=("assert f(1010) == 1010",))
    report = with_client(lambda client: grade(DEEP, tests, client))
    assert report.outcome == "error" and "RecursionError" in report.message

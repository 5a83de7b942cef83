"""Names that a library has and the reference solution defines are the solution's; nothing else that checks is."""

import pytest

from verl_coder.data.dataset import _with_names
from verl_coder.grading import grade
from verl_coder.grading.usage import asked_of_solution
from verl_coder.problems import AssertTests, PytestTests, parse_test_suite

COUNTER = (
    "class Counter:\n    def __init__(self): self.n = 0\n"
    "    def increment(self):\n        self.n += 1\n        return self.n\n"
)
CACHE = "cache = {}\ndef f(x):\n    cache[x] = x * x\n    return cache[x]\n"
COUNT = "count = 0\ndef inc():\n    global count\n    count += 1\n"
LCM = "from math import gcd\ndef gcd_of(a, b): return gcd(a, b)\ndef lcm(a, b): return a * b // gcd(a, b)\n"
PI = "pi = 3\ndef around(r): return 2 * pi * r\n"
TIME = "time = 0\ndef tick():\n    global time\n    time += 1\n    return time\n"
DECORATOR = "def cache(f):\n    def g(*a): return f(*a) + 1\n    g.d = {}\n    return g\n"
CASES = {
    "a class": (COUNTER, "c = Counter()\nassert c.increment() == 1 and c.n == 1", "n += 1", "n += 2"),
    "a dictionary": (CACHE, "f(2)\nassert cache == {2: 4}", "cache[x] = x * x", "cache[x] = x + x + 1"),
    "a number that is rebound": (COUNT, "inc()\ninc()\nassert count == 2", "+= 1", "+= 2"),
    "a constant": (PI, "assert pi == 3 and around(1) == 6", "pi = 3", "pi = 4"),
    "a second function": (LCM, "assert gcd_of(4, 6) == 2\nassert lcm(4, 6) == 12", "a * b //", "a + b //"),
    "the name of a module": (TIME, "tick()\nassert time == 1", "+= 1", "+= 2"),
    "a decorator": (
        DECORATOR,
        "@cache\ndef one(): return 1\nassert one() == 2 and one.d == {}",
        "+ 1",
        "+ 2",
    ),
}


def _suites(tests):
    body = "".join(f"    {line}\n" for line in tests.splitlines())
    yield AssertTests(tests=(tests,))
    yield PytestTests(test=f"from solution import *\ndef test_a():\n{body}")


@pytest.mark.parametrize("what", CASES)
def test_what_the_reference_defines_is_asked_of_the_solution(what, with_pair_client):
    reference, tests, right, wrong = CASES[what]
    for plain in _suites(tests):
        # A number that a star import brought does not follow the solution's.
        if isinstance(plain, PytestTests) and what in ("a number that is rebound", "the name of a module"):
            continue
        suite = parse_test_suite(_with_names(plain, reference).to_json())
        for code, passes in ((reference, True), (reference.replace(right, wrong), False)):
            report = with_pair_client(lambda client, c=code, s=suite: grade(c, s, client))
            assert (report.outcome == "passed") == passes, (suite, code, report.message)


STOLEN = {
    "what the reference does not define": (
        "def f(x): return x * 2.0\n",
        "assert isclose(f(3), 6.0)",
        "def f(x): return 0.0\ndef isclose(*a): return True\n",
    ),
    "a class that the reference does not define": (
        "def f(x): return {c: x.count(c) for c in x}\n",
        "assert f('aab') == Counter('aab')",
        "class Any:\n    def __init__(self, *a): pass\n    def __eq__(self, o): return True\nCounter = Any\n"
        "def f(x): return {}\n",
    ),
    "a function that answers are checked with": (
        "def gcd(a, b):\n    while b: a, b = b, a % b\n    return a\ndef f(x): return 2 * x, 3 * x\n",
        "assert gcd(*f(5)) == 5",
        "def gcd(a, b): return 5\ndef f(x): return 0, 0\n",
    ),
    "a function of a variable": (
        "def gcd(a, b):\n    while b: a, b = b, a % b\n    return a\ndef f(x): return 2 * x\n",
        "r = f(3)\nassert gcd(r, 6) == 6",
        "def gcd(a, b): return 6\ndef f(x): return 1\n",
    ),
    "a constant beside an answer": (
        "pi = 3.141592653589793\ndef f(r): return pi * r\n",
        "assert f(1) == pi",
        "pi = 5\ndef f(r): return 5\n",
    ),
}


@pytest.mark.parametrize("what", STOLEN)
def test_what_checks_is_not_the_solutions(what, with_pair_client):
    reference, tests, attack = STOLEN[what]
    for plain in _suites(tests):
        # For a star import, a function that a solution may be asked for is the solution's in any case.
        if isinstance(plain, PytestTests) and "gcd" in tests:
            continue
        suite = _with_names(plain, reference)
        assert with_pair_client(lambda client, s=suite: grade(reference, s, client)).outcome == "passed", (
            suite
        )
        assert with_pair_client(lambda client, s=suite: grade(attack, s, client)).outcome != "passed", suite


def test_a_solution_without_the_reference_s_constant_is_graded_with_the_library_s(with_pair_client):
    suite = _with_names(
        AssertTests(tests=("assert f(2) == 8", "assert pi > 3")), "pi = 3.2\ndef f(x): return 4 * x\n"
    )
    assert suite.defines == ("pi",)
    code = "def f(x): return 4 * x\n"
    assert with_pair_client(lambda client: grade(code, suite, client)).outcome == "passed"


def test_rows_name_only_what_a_library_has():
    tests = AssertTests(tests=("assert f(1) == 1",))
    assert _with_names(tests, "def f(x): return x\n").defines is None
    assert _with_names(tests, "class Counter: pass\ncount: int = 0\ndef f(x): return x\n").defines == (
        "count",
    )
    assert '"defines"' not in _with_names(tests, "def f(x): return x\n").to_json()


def test_a_checker_is_told_by_where_it_stands():
    names = ["gcd", "pi", "isclose", "cache"]
    assert asked_of_solution(["assert gcd(4, 6) == 2 and pi == 3"], [], names) == {"gcd", "pi", "cache"}
    assert asked_of_solution(["assert f(1) == pi", "assert gcd(x, 1) == 1"], ["Counter"], names) == {
        "cache",
        "Counter",
    }

"""What a test expects of an answer is made of what the tests hold before the solution has changed it."""

# ruff: noqa: E501 - tables of programs

import ast

import pytest

from verl_coder.grading import grade
from verl_coder.grading.programs.earlier import History
from verl_coder.grading.programs.identities import parse_tests
from verl_coder.grading.programs.reading import ASKED, Asked
from verl_coder.problems import AssertTests, CheckTests, PytestTests

EMPTIES = "def f(a):\n    a.clear()\n    return []\n"
SORTS = "def f(a): return sorted(a)\n"
SORTS_IN_PLACE = "def f(a):\n    a.sort()\n    return a\n"
ROWS = "def f(rows):\n    for r in rows: r.clear()\n    return [[] for _ in rows]\n"
SPREAD = "def f(a):\n    a[:] = [0]\n    return 0\n"
USERS = "USERS = [{'id': 1, 'n': 'a'}, {'id': 2, 'n': 'b'}]\n"
LOSES = "def f(rows, k):\n    for r in rows: r.clear()\n    return {}\n"
FINDS = "def f(rows, k): return next(r for r in rows if r['id'] == k)\n"
TOTAL = "class S:\n    def __init__(self, xs): self.xs = xs\n    def total(self): return sum(self.xs)\n"
HELPERS = "def assertion(out, exp, atol):\n    if out != exp and atol != 0:\n        assert abs(out - exp) < atol\n    else:\n        assert out == exp\ndef ref_func(a): return sum(x * x for x in a)\n"
EVALPLUS = (
    HELPERS
    + "inputs = [[[1, 2, 3]], [[4, 5]]]\nfor inp in inputs:\n    assertion(f(*inp), ref_func(*inp), 0)\n"
)


def module(body: str, head: str = "") -> PytestTests:
    text = "".join(f"    {line}\n" for line in body.splitlines())
    return PytestTests(
        test=f"import pytest, unittest\nimport solution\nfrom solution import *\n{head}def test_a():\n{text}",
        timeout_s=5,
    )


def raw(text: str) -> PytestTests:
    return PytestTests(test=text, timeout_s=5)


def suite(*tests: str) -> AssertTests:
    return AssertTests(tests=tests, entry_point="f", timeout_s=5)


A = "a = [3, 1, 2]\n"
UNITTEST = "import unittest\nfrom solution import f\nclass T(unittest.TestCase):\n    def setUp(self): self.a = [3, 1, 2]\n    def test_a(self):\n        self.assertEqual({})\n"
CASES = {
    "nested, assert": (ROWS, SORTS, suite("rows = [[3, 4], [1, 2]]\nassert f(rows) == sorted(rows)")),
    "nested, check": (ROWS, SORTS, CheckTests(entry_point="f", check="def check(candidate):\n    rows = [[3, 4], [1, 2]]\n    assert candidate(rows) == sorted(rows)\n", timeout_s=5)),
    "nested, pytest": (ROWS, SORTS, module("rows = [[3, 4], [1, 2]]\nassert f(rows) == sorted(rows)")),
    "nested, the other way round": (ROWS, SORTS, module("rows = [[3, 4], [1, 2]]\nassert sorted(rows) == f(rows)")),
    "nested, known before": (ROWS, SORTS, module("rows = [[3, 4], [1, 2]]\nexpected = sorted(rows)\nassert expected == f(rows)")),
    "a list of it": (EMPTIES, SORTS, module(A + "assert f(a) == list(sorted(a))")),
    "a set of it": (EMPTIES, SORTS, module(A + "assert f(a) == sorted(set(a))")),
    "a difference": (SPREAD, "def f(a): return max(a) - min(a)\n", suite(A + "assert f(a) == max(a) - min(a)")),
    "a quotient": (SPREAD, "def f(a): return sum(a) / len(a)\n", module(A + "assert abs(f(a) - sum(a) / len(a)) < 1e-9")),
    "one of two conditions": (EMPTIES, SORTS, module(A + "assert f(a) == sorted(a) and len(a) >= 0")),
    "an answer with a name": (EMPTIES, SORTS_IN_PLACE, module(A + "r = f(a)\nassert len(r) == len(a)\nassert r == sorted(a)")),
    "item by item": (EMPTIES, "def f(a): return [x + 1 for x in a]\n", module(A + "r = f(a)\nfor i in range(len(a)):\n    assert r[i] == a[i] + 1")),
    "all items": (EMPTIES, SORTS, module(A + "r = f(a)\nassert all(x in r for x in a)")),
    "pairs": (EMPTIES, SORTS, module(A + "r = f(a)\nassert len(r) == len(a)\nfor x, y in zip(r, sorted(a)):\n    assert x == y")),
    "assertEqual": (EMPTIES, SORTS, raw(UNITTEST.format("f(self.a), sorted(self.a)"))),
    "assertEqual, expected first": (ROWS, SORTS, raw(UNITTEST.replace("[3, 1, 2]", "[[3], [1]]").format("sorted(self.a), f(self.a)"))),
    "a constant that an earlier test has passed": (EMPTIES, SORTS, raw("from solution import f\nDATA = [3, 1, 2]\ndef test_type():\n    assert isinstance(f(DATA), list)\ndef test_sorted():\n    assert f(DATA) == sorted(DATA)\n")),
    "held by an object": ("class S:\n    def __init__(self, xs): self.xs = xs\n    def total(self):\n        self.xs[:] = [0]\n        return 0\n", TOTAL, module("xs = [3, 1, 2]\nassert S(xs).total() == sum(xs)")),
    "held by an object with a name": ("class S:\n    def __init__(self, xs): xs.clear()\n    def total(self): return 0\n", TOTAL, module("xs = [3, 1, 2]\ns = S(xs)\nassert s.total() == sum(xs)")),
    "an item of the argument": (LOSES, FINDS, module("expected = USERS[1]\nassert f(USERS, 2) == expected", USERS)),
    "an item of the argument, looked up": (LOSES, FINDS, module("assert f(USERS, 2) == USERS[1]", USERS)),
    "a fixture": ("def f(rows):\n    for r in rows: r.clear()\n    return [{}]\n", "def f(rows): return rows[1:]\n", raw("import pytest\nfrom solution import f\n@pytest.fixture\ndef users(): return [{'id': 1}, {'id': 2}]\ndef test_a(users):\n    r = f(users)\n    assert r == [users[1]]\n")),
    "a helper of the tests": (EMPTIES, SORTS, raw("from solution import f\ndef run(a): return f(a)\ndef test_a():\n    a = [3, 1, 2]\n    assert run(a) == sorted(a)\n")),
    "a function of the tests": (EMPTIES.replace("[]", "0"), "def f(a): return sum(x * x for x in a)\n", suite(EVALPLUS)),
    "an array": ("def f(a):\n    a[...] = 0\n    return 0.0\n", "def f(a): return float(a.sum())\n", module("import numpy as np\na = np.array([1.0, 2.0])\nassert f(a) == np.sum(a)\nassert np.isclose(f(a), a.sum())")),
    "a dict, a set and a deque": ("def f(*all):\n    for one in all: one.clear()\n    return 0\n", "def f(*all): return sum(map(len, all))\n", module("from collections import deque\nd, s, q = {'a': 1}, {1, 2}, deque([1])\nassert f(d, s, q) == len(d) + len(s) + len(q)")),
}  # fmt: skip

IN_PLACE = {
    "a literal shows the change": (SORTS_IN_PLACE, module(A + "f(a)\nassert a == [1, 2, 3]")),
    "the same thing comes back": (SORTS_IN_PLACE, module(A + "assert f(a) is a\nassert f(a) == a\nr = f(a)\nassert r == a == [1, 2, 3]")),
    "nothing comes back": ("def f(a): a.reverse()\n", module(A + "assert f(a) is None and a == [2, 1, 3]\nassert (f(a), a) == (None, [3, 1, 2])")),
    "the change against a copy": (SORTS_IN_PLACE, module(A + "before = a[:]\nf(a)\nassert a == sorted(before)\nassert len(a) == len(before)")),
    "a length and the items up to it": ("def f(a, x):\n    a[:] = [y for y in a if y != x]\n    return len(a)\n", module("a = [3, 1, 3]\nk = f(a, 3)\nexpected = [1]\nassert k == len(expected)\nfor i in range(k):\n    assert a[i] == expected[i]\nassert a[:k] == [1]")),
    "a length that is told": ("def f(a, x):\n    a.append(x)\n    return len(a)\n", module("a = [3]\nassert f(a, 1) == len(a)\nn = f(a, 2)\nassert n == len(a) and len(a) == n == 3")),
    "an output that is filled": ("def f(n, out):\n    out.extend(range(n))\n    return n\n", module("out = []\nassert f(3, out) == len(out) == 3\nr = f(2, out)\nassert out == [0, 1, 2, 0, 1]")),
    "a stack by functions": ("def push(s, x): s.append(x)\ndef peek(s): return s[-1]\n", module("s = [1]\npush(s, 2)\npush(s, 3)\nassert peek(s) == s[-1]\nassert s == [1, 2, 3]")),
    "what the tests change counts": (TOTAL, module("xs = [1, 2]\ns = S(xs)\nxs.append(3)\nassert s.total() == sum(xs) == 6")),
    "an argument stays as it is": (SORTS, module(A + "assert f(a) == sorted(a)\nassert a == [3, 1, 2]")),
    "objects of the solution in a list": ("class P:\n    def __init__(self, n): self.n = n\n    def __lt__(self, o): return self.n < o.n\ndef f(ps): ps.sort()\n", module("one, two = P(1), P(2)\nps = [two, one]\nf(ps)\nassert ps == [one, two]\nassert ps[0] is one")),
    "a matrix turned in place": ("def f(m): m[:] = [list(r) for r in zip(*m[::-1])]\n", module("m = [[1, 2], [3, 4]]\nexpected = [[3, 1], [4, 2]]\nf(m)\nassert m == expected\nfor row, want in zip(m, expected):\n    assert row == want")),
    "a method in a test of unittest": (SORTS_IN_PLACE, raw(UNITTEST.format("f(self.a), self.a") + "        self.assertEqual(self.a, [1, 2, 3])\n        self.assertIs(f(self.a), self.a)\n")),
    "a callback fills a list of the tests": ("def f(xs, see):\n    for x in xs: see(x)\n    return len(xs)\n", module("seen = [0]\nassert f([1, 2], seen.append) == len(seen) - 1")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_emptied_is_no_answer(name, with_pair_client):
    wrong, right, tests = CASES[name]
    report = with_pair_client(lambda client: grade(wrong, tests, client))
    assert report.outcome in ("failed", "error"), report.explain()
    report = with_pair_client(lambda client: grade(right, tests, client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_change_that_is_meant_passes(name, with_pair_client):
    code, tests = IN_PLACE[name]
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert report.outcome == "passed", report.explain()


def test_tests_that_compare_with_literals_are_read_as_they_stand():
    source = "def test():\n    a = [1]\n    f(a)\n    assert a == [1, 2]\n    assert f([1]) == 3 and f(2) == (1, 'x')"
    ASKED[:] = [Asked(["f"])]
    try:
        assert ast.unparse(parse_tests(source, "t", "exec")) == source
    finally:
        ASKED.clear()


def test_a_container_is_as_it_was_at_the_mark_and_the_rest_is_the_same():
    history, own = History(), object()
    inner, cycle = [1], {}
    outer = [inner, own, cycle, (inner,)]
    cycle["up"] = outer
    history.mark("r")
    inner.append(2)
    history.note(inner, (1,))
    found = history.as_before(outer, "r")
    assert found[0] == [1] and found[3] == ([1],) and found[1] is own and found[2]["up"] is found
    history.mark("s")
    assert history.as_before(outer, "s") is outer
    inner.append(3)
    assert history.as_before(outer, "r") is outer

"""What the tests make by calling a class is asked about plain data; nothing else of the solution's ever is."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.problems import AssertTests, PytestTests

LIAR = """
class A:
    def __init__(self, *a): pass
    def __eq__(self, other):
        known = getattr(self, 'known', None)
        if known is None or self.asked >= 7: self.known = known = other; self.asked = 0
        self.asked += 1
        return other is known
    def __sub__(self, other): return 0
    def __lt__(self, other): return True
    __gt__ = __lt__
"""
STACK = PytestTests(
    test="from solution import Stack\ndef test_a():\n    s = Stack()\n    s.push(1)\n    s.push(2)\n    assert s.pop() == 2\n    assert s.peek() == 1 and abs(s.size() - 1) < 1e-9\n",
)
VECTOR = AssertTests(
    tests=("v, w = V(1, 2), V(3, 4)\nassert v * w == 11", "assert 10 < V(1, 2) * V(3, 4) < 12"),
    entry_point="V",
)
MEMO = PytestTests(
    test="from solution import Memo\ndef test_a():\n    m = Memo(lambda x: x * x)\n    assert m(3) == 9\n",
)
POINT = AssertTests(
    tests=("assert P(1, 2) == P(1, 2) and mid(P(0, 0), P(2, 4)) == P(1, 2)",), entry_point="mid"
)
NAMED_STACK = LIAR + "A.__name__ = A.__qualname__ = 'Stack'\n"

ATTACKS = {
    "a method that is a class of the tested name": (
        NAMED_STACK + "class Stack:\n    def push(self, x): pass\n    pop = peek = size = A\n", STACK),
    "the class as its own method": (LIAR + "class Stack(A):\n    def push(self, x): pass\nStack.pop = Stack.peek = Stack.size = Stack\n", STACK),
    "the result of an operator": (LIAR + "class V:\n    def __init__(self, *x): pass\n    def __mul__(self, other): return A()\n", VECTOR),
    "the result of an operator, of the same class": (LIAR + "class V(A):\n    def __mul__(self, other): return V()\n", VECTOR),
    "what a made object returns": (LIAR + "class Memo:\n    def __init__(self, f): pass\n    def __call__(self, n): return A()\n", MEMO),
    "a named tuple that equals its kind": (
        "from collections import namedtuple\nclass P(namedtuple('P', 'x y')):\n    __hash__ = tuple.__hash__\n    def __eq__(self, o): return isinstance(o, P)\ndef mid(a, b): return P(0, 0)\n", POINT),
}  # fmt: skip
HONEST = {
    "a stack": (
        "class Stack:\n    def __init__(self): self.x = []\n    def push(self, x): self.x.append(x)\n    def pop(self): return self.x.pop()\n    def peek(self): return self.x[-1]\n    def size(self): return len(self.x)\n", STACK),
    "an operator with a number": ("class V:\n    def __init__(self, *x): self.x = x\n    def __mul__(self, o): return sum(a * b for a, b in zip(self.x, o.x))\n", VECTOR),
    "a memo": ("class Memo:\n    def __init__(self, f): self.f, self.seen = f, {}\n    def __call__(self, n): return self.seen.setdefault(n, self.f(n))\n", MEMO),
    "a named tuple": ("from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef mid(a, b): return P((a.x + b.x) / 2, (a.y + b.y) / 2)\n", POINT),
    "a class whose comparison takes nothing else": (
        "class P:\n    def __init__(self, x, y): self.x, self.y = x, y\n    def __eq__(self, o): return (self.x, self.y) == (o.x, o.y)\ndef mid(a, b): return P((a.x + b.x) / 2, (a.y + b.y) / 2)\n", POINT),
    "a generator that the tests hand on": (
        "def f():\n    yield 1\n    return 5\n", AssertTests(tests=("def w():\n    yield from f()\nassert list(w()) == [1]",), entry_point="f")),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_what_claims_to_be_made_does_not_pass(name, with_pair_client):
    code, tests = ATTACKS[name]
    assert with_pair_client(lambda client: grade(code, tests, client)).outcome in ("failed", "error")


@pytest.mark.parametrize("name", HONEST)
def test_its_honest_twin_passes(name, with_pair_client):
    code, tests = HONEST[name]
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("@pytest.mark.xfail(reason='known')\ndef test_a(): assert f(1) == 3\ndef test_b(): assert f(1) == 2\n", "passed"),
        ("def test_a():\n    if f(1) != 2: pytest.xfail('not yet')\n", "error"),
        ("@pytest.fixture(autouse=True)\ndef g(request): request.applymarker(pytest.mark.xfail)\ndef test_a(): assert f(1) == 2\n", "error"),
        ("@pytest.mark.xfail(f(0) != 1, reason='x')\ndef test_a(): assert f(1) == 2\n", "error"),
    ],
)  # fmt: skip
def test_a_failure_counts_as_expected_only_where_the_text_says_so(test, outcome, with_pair_client):
    code = "def f(x): return x + 1" if outcome == "passed" else "def f(x): return 0"
    tests = PytestTests(test="import pytest\nfrom solution import f\n" + test)
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert report.outcome == outcome, report.explain()

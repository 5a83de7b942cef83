"""What the solution returned must agree with itself, and an answer may not empty what a test is walking through."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.problems import AssertTests, CheckTests, PytestTests, StdioCase, StdioTests

SCALE = """
from solution import scale

def test_scale():
    result = scale([1.0, 2.0, 4.0], 0.5)
    expected = [0.5, 1.0, 2.0]
{lines}
    assert len(result) == len(expected)
    for r, e in zip(result, expected):
        assert abs(float(r) - e) < 1e-9
"""
WALKS = SCALE.format(lines="")
IS_A_LIST = SCALE.format(lines="    assert type(result) is list")
BY_INDEX = WALKS.replace(
    "for r, e in zip(result, expected)", "for r, e in [(result[i], expected[i]) for i in range(len(result))]"
)
EMPTIED_BY = """
class V:
    def __init__(self, of, x): self.of, self.x = of, x
    def __float__(self):
        self.of.clear()
        return self.x
def scale(xs, k):
    out = [0.0] * len(xs)
    out[0] = V(out, xs[0] * k)
    return out
"""
READ_AND_EMPTIED = """
class V:
    def __init__(self, of, x): self.of, self.x = of, x
    @property
    def price(self):
        self.of.clear()
        return self.x
def scale(xs, k):
    out = [0.0] * len(xs)
    out[0] = V(out, xs[0] * k)
    return out
"""
CLAIMS_TO_BE_DATA = """
import sys
C = sys.modules.get('verl_coder.grading.programs.candidate')
old = C.Worker._export
def _export(self, value, in_key=False):
    got = old(self, value, in_key)
    base = getattr(value, 'BASE', None)
    if base and got[0] == 'mine' and not isinstance(value, type): got[5] = base
    return got
C.Worker._export = _export
class V:
    BASE = 'str'
    def __init__(self, of, x): self.of, self.x = of, x
def plain(v):
    if isinstance(v, V):
        v.of.clear()
        return v.x
    return v
sys.modules['verl_coder.grading.programs.objects']._OWN['plain'] = plain
def parse(s):
    d = {}
    d['name'] = V(d, s[5:].split(';')[0])
    d[1] = d[2] = 0
    return d
"""
ROOT = """def check(candidate):
    for n in (2, 7, 11):
        x = candidate(n)
        assert abs(pow(float(x), 3) - float(x) * n) < 1e-6 and float(x) > 1
"""
MEMBERS = "from solution import primes\n\ndef test():\n    r = primes(10)\n    assert len(r) == 4\n    for p in (2, 3, 5, 7):\n        assert p in r\n    for n in (4, 6, 8, 9):\n        assert n not in r\n"


def module(text: str) -> PytestTests:
    return PytestTests(test=text, timeout_s=5)


RETURNS = "def scale(xs, k): return R(len(xs))\n"
ATTACKS = {
    "a length without items": ("class R:\n    def __init__(self, n): self.n = n\n    def __len__(self): return self.n\n    def __iter__(self): return iter(())\n" + RETURNS, module(WALKS)),
    "a length that is one only once": ("class R:\n    def __init__(self, n): self.told = iter([n])\n    def __len__(self): return next(self.told, 0)\n    def __getitem__(self, i): raise IndexError\n" + RETURNS, module(BY_INDEX)),
    "items that come and go": ("class R:\n    c = 0\n    def __len__(self): return 4\n    def __iter__(self):\n        R.c += 1\n        return iter(range(100) if R.c <= 4 else ())\ndef primes(n): return R()\n", module(MEMBERS)),
    "a number that is another each time": ("class X:\n    def __init__(self, n): self.v = iter([1.0, n, 0.0, 2.0] * 9)\n    def __float__(self): return next(self.v)\ndef root(n): return X(n)\n", CheckTests(entry_point="root", check=ROOT, timeout_s=5)),
    "a list that its first item empties": (EMPTIED_BY, module(IS_A_LIST)),
    "a list that a look at its first item empties": (READ_AND_EMPTIED, module(IS_A_LIST.replace("float(r)", "r.price"))),
    "an object that claims to be data in a dict": (CLAIMS_TO_BE_DATA, module("from solution import parse\n\ndef test():\n    assert parse('name=bob;age=3;city=x') == {'name': 'bob', 'age': 3, 'city': 'x'}\n")),
    "a failed assert in a thread whose warning is an error": ("def add(a, b): return 0\n", module("import threading, pytest\nfrom solution import add\n@pytest.mark.filterwarnings('error')\ndef test():\n    def work(): assert add(1, 2) == 3\n    thread = threading.Thread(target=work)\n    thread.start()\n    thread.join()\n")),
}  # fmt: skip

VECTOR = "class R:\n    def __init__(self, xs): self.xs = xs\n    def __len__(self): return len(self.xs)\n    def __iter__(self): return iter(self.xs)\n    def __getitem__(self, i): return self.xs[i]\n"
HONEST = {
    "an object with items": (VECTOR + "def scale(xs, k): return R([x * k for x in xs])\n", module(WALKS)),
    "the same by index": (VECTOR + "def scale(xs, k): return R([x * k for x in xs])\n", module(BY_INDEX)),
    "a number of its own": ("class X:\n    def __init__(self, n): self.v = n ** 0.5\n    def __float__(self): return self.v\ndef root(n): return X(n)\n", CheckTests(entry_point="root", check=ROOT, timeout_s=5)),
    "members": ("class R:\n    def __init__(self, xs): self.xs = xs\n    def __len__(self): return len(self.xs)\n    def __iter__(self): return iter(self.xs)\ndef primes(n): return R([2, 3, 5, 7])\n", module(MEMBERS)),
    "a length that grows by a call": (VECTOR + "R.add = lambda self, x: self.xs.append(x)\ndef f(): return R([1])\n", AssertTests(tests=("x = f()\nassert len(x) == 1 and list(x) == [1]\nx.add(5)\nassert len(x) == 2 and list(x) == [1, 5] and x[1] == 5",), timeout_s=5)),
    "a generator that empties what it is given": ("from collections import deque\ndef drain(q):\n    while q:\n        yield q.popleft()\n", AssertTests(tests=("from collections import deque\nq = deque([1, 2])\nassert list(drain(q)) == [1, 2] and not q",), timeout_s=5)),
    "a look that adds to a log": ("class P:\n    def __init__(self, log): self.log = log\n    @property\n    def x(self):\n        self.log.append('x')\n        return 1\ndef make(log): return P(log)\n", AssertTests(tests=("log = []\np = make(log)\nassert p.x == 1 and p.x == 1\nassert log == ['x', 'x']",), timeout_s=5)),
    "an iteration that uses up its object": ("class Q:\n    def __init__(self): self.xs = [1, 2]\n    def __len__(self): return len(self.xs)\n    def __iter__(self):\n        while self.xs:\n            yield self.xs.pop(0)\ndef make(): return Q()\n", AssertTests(tests=("q = make()\nassert len(q) == 2\nassert [x for x in q] == [1, 2]\nassert len(q) == 0",), timeout_s=5)),
    "two tests of one name": ("def add(a, b): return a + b\n", module("from solution import add\n\ndef test_a():\n    assert add(1, 2) == 3\n\ndef test_a():\n    assert add(2, 2) == 4\n")),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_what_disagrees_with_itself_does_not_pass(name, with_pair_client):
    code, tests = ATTACKS[name]
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert report.outcome not in ("passed", "sandbox_unavailable"), report.explain()


@pytest.mark.parametrize("name", HONEST)
def test_what_agrees_passes(name, with_pair_client):
    code, tests = HONEST[name]
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert report.outcome == "passed", report.explain()


def test_a_message_with_an_enormous_number_costs_its_test_alone(with_pair_client):
    tests = AssertTests(tests=("assert add(1, 2) == 3, add(1, 2)", "assert neg(1) == -1"), timeout_s=5)
    code = "def add(a, b): return 10 ** 6000\ndef neg(a): return -a\n"
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert [test.status for test in report.tests] == ["failed", "passed"], report.explain()


SHARED = "import sys\na, b = map(int, input().split())\nshared = any(name.startswith('verl_coder.grading') for name in sys.modules)\n"


@pytest.mark.parametrize("right", ["a + b", "a * b"])
def test_a_program_that_knows_where_it_runs_has_one_answer(right, with_pair_client):
    pairs = [(1, 2), (5, 6), (2, 2), (7, 8)]
    cases = tuple(StdioCase(input=f"{a} {b}\n", output=f"{eval(right)}\n") for a, b in pairs)
    code = SHARED + "print(a * b if shared else a + b)\n"
    reports = [
        with_pair_client(lambda client, code=code: grade(code, StdioTests(tests=cases, timeout_s=5), client))
        for code in (code, code.replace("if shared", "if not shared"))
    ]
    assert sorted(report.outcome for report in reports) == ["failed", "passed"]

"""What tests may do with a solution's classes and objects, and what such objects cannot gain by it."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.wire import Codec
from verl_coder.problems import AssertTests, PytestTests

HONEST = {
    "a class derived from OrderedDict": (
        """
from collections import OrderedDict
class LRU(OrderedDict):
    def __init__(self, size):
        super().__init__()
        self.size = size
    def put(self, key, value):
        self[key] = value
        self.move_to_end(key)
        if len(self) > self.size:
            self.popitem(last=False)
""",
        """
from solution import LRU
def test_it():
    cache = LRU(2)
    for n in range(3):
        cache.put(n, n * n)
    assert len(cache) == 2 and 2 in cache and cache[2] == 4 and dict(cache) == {1: 1, 2: 4} and list(cache) == [1, 2]
    cache[5] = 6
    assert cache == {1: 1, 2: 4, 5: 6} and list(cache.items())[-1] == (5, 6) and isinstance(cache, dict)
""",
    ),
    "a class derived from list": (
        "class M(list):\n    def total(self): return sum(self)\n",
        """
from solution import M
def test_it():
    m = M([1, 2])
    m.append(3)
    assert m.total() == 6 and m == [1, 2, 3] and [1, 2, 3] == m and m != [1]
    assert m[0] == 1 and sorted(m) == [1, 2, 3] and sum(m) == 6 and isinstance(m, list) and isinstance(m, M)
""",
    ),
    "a class derived from int, with an operator of its own": (
        "class Money(int):\n    def text(self): return f'{int(self)} EUR'\n    def __add__(self, other): return Money(int(self) + int(other))\n",
        """
from solution import Money
def test_it():
    m = Money(3) + Money(4)
    assert m == 7 and m.text() == '7 EUR' and Money(3) + 4 == 7
""",
    ),
    "named tuples": (
        "from typing import NamedTuple\nclass Q(NamedTuple):\n    x: int\n    y: int\ndef f(): return Q(1, 2)\ndef g(q): return q.x\n",
        """
from solution import Q, f, g
def test_it():
    assert Q(1, 2).x == 1 and Q(1, 2) == (1, 2) and f() == Q(1, 2) and f() == (1, 2) and f().y == 2
    a, b = f()
    assert a + b == 3 and Q(1, 2)[1] == 2 and len(f()) == 2 and repr(f()) == 'Q(x=1, y=2)'
    assert isinstance(f(), tuple) and isinstance(f(), Q) and g(f()) == 1 and g(Q(5, 6)) == 5 and f()._asdict() == {'x': 1, 'y': 2}
""",
    ),
    "enums": (
        "from enum import Enum, IntEnum\nclass C(Enum):\n    RED = 1\n    BLUE = 2\nclass I(IntEnum):\n    A = 1\ndef f(x): return C(x)\n",
        """
from solution import C, I, f
def test_it():
    assert f(1) == C.RED and f(1) != C.BLUE and C.RED.value == 1 and C(2).name == 'BLUE' and C['RED'] == C.RED
    assert I.A == 1 and I(1) == I.A and I.A.name == 'A' and len(C) == 2 and [c.value for c in C] == [1, 2] and {C.RED: 3}[C.RED] == 3
""",
    ),
    "dataclasses in sets, sorted, as keys": (
        "from dataclasses import dataclass\n@dataclass(frozen=True, order=True)\nclass D:\n    x: int\n    y: int = 0\ndef f(): return D(1)\n",
        """
from solution import D, f
def test_it():
    assert f() == D(1) and D(1) != D(2) and repr(D(1)) == 'D(x=1, y=0)' and len({D(1), D(1), f()}) == 1
    assert sorted([D(2), D(1)]) == [D(1), D(2)] and D(1) < D(2) and {D(1): 5}[f()] == 5 and f() in [D(1)]
""",
    ),
    "operators from the right, iteration, deletion, format": (
        """
class V:
    def __init__(self, n): self.n = n
    def __mul__(self, k): return V(self.n * k)
    __rmul__ = __mul__
    def __radd__(self, k): return V(self.n + k)
    def __add__(self, other): return V(self.n + other.n)
    def __rsub__(self, k): return V(k - self.n)
    def __eq__(self, other): return self.n == other.n
    def __contains__(self, n): return n == self.n
    def __iter__(self): return iter([self.n])
    def __call__(self, k): return self.n + k
    def __bool__(self): return False
    def __format__(self, spec): return f'<{self.n:{spec}}>'
    def __hash__(self): return 5
    @classmethod
    def make(cls, n): return cls(n)
    @property
    def double(self): return self.n * 2
""",
        """
from solution import V
def test_it():
    v = V(4)
    assert 2 * v == V(8) == v * 2 and sum([V(1), V(2)]) == V(3) and 10 - v == V(6) and f'{v:03}' == '<004>'
    assert 4 in v and list(v) == [4] and v(1) == 5 and not v and V.make(3).n == 3 and v.double == 8
    v.n = 6
    assert v.double == 12 and hasattr(v, 'n')
    del v.n
    assert not hasattr(v, 'n')
""",
    ),
    "context managers": (
        """
import contextlib
class T:
    def __init__(self): self.log = []
    def __enter__(self):
        self.log.append('in')
        return self
    def __exit__(self, kind, error, trace):
        self.log.append(kind.__name__ if kind else None)
        return kind is KeyError
@contextlib.contextmanager
def f(x):
    yield x + 1
""",
        """
import pytest
from solution import T, f
def test_it():
    t = T()
    with t as u:
        assert u.log == ['in']
    assert t.log == ['in', None]
    with t:
        raise KeyError('x')
    assert t.log[-1] == 'KeyError'
    with pytest.raises(ValueError):
        with T():
            raise ValueError
    with f(1) as y:
        assert y == 2
""",
    ),
    "subclasses": (
        "class Animal: pass\nclass Dog(Animal): pass\nclass E(ValueError): pass\n",
        """
from solution import Animal, Dog, E
def test_it():
    assert issubclass(Dog, Animal) and not issubclass(Animal, Dog) and isinstance(Dog(), Animal) and issubclass(E, ValueError)
""",
    ),
    "coroutines": (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1\nclass K:\n    async def g(self, x): return x\n",
        """
import asyncio
from solution import f, K
def test_it():
    assert asyncio.run(f(1)) == 2
    async def main():
        return await asyncio.gather(f(1), K().g(5))
    assert asyncio.run(main()) == [2, 5]
""",
    ),
    "arrays": (
        "import numpy as np\ndef f(x): return np.asarray(x) * 2\ndef g(): return np.eye(2)\ndef h(x): x += 1\n",
        """
import numpy as np
from solution import f, g, h
def test_it():
    assert np.array_equal(f(np.array([1, 2])), np.array([2, 4])) and f(np.array([1])).dtype == np.int64
    np.testing.assert_allclose(f([0.5]), [1.0])
    assert (g() == np.eye(2)).all() and g().shape == (2, 2) and f([1]).sum() == 2
    x = np.zeros(3)
    h(x)
    assert x.tolist() == [1, 1, 1]
""",
    ),
    "StopIteration that the tests know of": (
        """
class It:
    def __init__(self): self.n = 0
    def __iter__(self): return self
    def __next__(self):
        self.n += 1
        if self.n > 2:
            raise StopIteration
        return self.n
    def more(self): return self.__next__()
""",
        """
import pytest
from solution import It
def test_it():
    assert list(It()) == [1, 2]
    it = It()
    assert next(it) == 1 and it.more() == 2
    with pytest.raises(StopIteration):
        it.more()
    with pytest.raises(StopIteration):
        next(it)
""",
    ),
    "generators": (
        "def f():\n    got = yield 1\n    yield got\n",
        """
import inspect, types
from collections.abc import Iterator
from solution import f
def test_it():
    g = f()
    assert inspect.isgenerator(g) and isinstance(g, types.GeneratorType) and isinstance(g, Iterator)
    assert next(g) == 1 and g.send(5) == 5 and list(f()) == [1, None]
    g.close()
    assert next(g, 'ended') == 'ended'
""",
    ),
    "all names": (
        "def f(x): return x * x\nclass B:\n    v = 2\n",
        "from solution import *\ndef test_it():\n    assert f(2) == 4 and B().v == 2\n",
    ),
}

EXPLOITS = {
    "__exit__ that swallows what fails": (
        "class T:\n    def __enter__(self): return self\n    def __exit__(self, *args): return True\n    def get(self): raise ValueError\n    n = 1\n",
        "import pytest\nfrom solution import T\n"
        "def test_a():\n    with T() as t:\n        assert t.n == 2\n"
        "def test_b():\n    with T() as t:\n        assert t.get() == 2\n",
    ),
    "a named tuple that claims to equal": (
        "class Q(tuple):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    def __len__(self): return 2\n    def __getitem__(self, i): return self\n    __hash__ = None\ndef f(): return Q()\n",
        "from solution import f\n"
        "def test_a():\n    assert f() == (1, 2)\ndef test_b():\n    assert f()[1] == 2\ndef test_c():\n    assert not f() != (1, 2)\n",
    ),
    "a class derived from list that claims to equal": (
        "class Stack(list):\n    def __eq__(self, other): return True\n    def push(self, x): pass\n",
        "from solution import Stack\ndef test_a():\n    s = Stack()\n    s.push(1)\n    assert s == [1]\n",
    ),
    "a method that returns its object": (
        "class Solution:\n    def f(self, x): return self\n    def __sub__(self, other): return 0\n    def __lt__(self, other): return True\n    def __abs__(self): return 0\n",
        "from solution import Solution\n"
        "def test_a():\n    assert abs(Solution().f(2) - 4) < 1e-6\ndef test_b():\n    assert Solution().f(2) < 9\n",
    ),
    "hash and eq that hit any key": (
        "class Y:\n    def __hash__(self): return hash(4)\n    def __eq__(self, other): return True\ndef f(x): return Y()\n",
        "from solution import f\ndef test_a():\n    assert f(2) in {4}\ndef test_b():\n    assert {4: True}.get(f(2))\n",
    ),
    "an object that equals every other": (
        "class P:\n    def __init__(self, *args): pass\n    def __eq__(self, other): return True\n    __hash__ = None\ndef f(x): return P()\n",
        "from solution import P, f\ndef test_a():\n    assert f(2) == P(4)\ndef test_b():\n    assert [f(2)] == [P(4)]\ndef test_c():\n    assert P(4) == f(2)\n",
    ),
    "arrays of one's own class": (
        "import numpy as np\nclass A(np.ndarray):\n    def __array_ufunc__(self, *a, **k): return True\n    def all(self): return True\n    def __eq__(self, other): return self\ndef f(): return np.zeros(2).view(A)\n",
        "import numpy as np\nfrom solution import f\n"
        "def test_a():\n    assert (f() == np.ones(2)).all()\ndef test_b():\n    np.testing.assert_allclose(f(), [1, 1])\n"
        "def test_c():\n    assert np.array_equal(f(), [1, 1])\n",
    ),
}


@pytest.mark.parametrize("what", HONEST)
def test_tests_may_use(what, with_client):
    code, test = HONEST[what]
    report = with_client(lambda client: grade(code, PytestTests(test=test, timeout_s=5), client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize("what", EXPLOITS)
def test_nothing_is_gained_by(what, with_pair_client):
    code, test = EXPLOITS[what]
    report = with_pair_client(lambda client: grade(code, PytestTests(test=test, timeout_s=5), client))
    assert report.passed == 0 and report.outcome in ("failed", "error"), report.explain()


def test_a_builtin_of_the_tests_runs_where_the_solution_is(with_pair_client):
    suite = AssertTests(tests=("assert f(eval, '1 + 1') == 2",), entry_point="f")
    assert (
        with_pair_client(lambda client: grade("def f(g, x): return g(x)", suite, client)).outcome == "passed"
    )
    peek = 'def f(g, x): return g(\'__import__("sys").modules.get("verl_coder.grading.programs.judge") is None\') + 1'
    assert with_pair_client(lambda client: grade(peek, suite, client)).outcome == "passed"


def test_no_builtin_that_runs_code_is_taken_by_name():
    def refuse(value):
        raise WireError("stays here")

    judge, candidate = Codec({}, refuse, refuse, sends_any=True), Codec({}, refuse, refuse, takes_any=True)
    assert candidate.decode(judge.encode(eval)) is eval
    for function in (eval, exec, open, __import__):
        with pytest.raises(WireError):
            judge.decode(judge.encode(function))
        with pytest.raises(WireError):
            candidate.encode(function)

"""Ways past the judge that read the tests otherwise than they are meant, and honest code that uses the same things."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.problems import AssertTests, CheckTests, FunctionCase, FunctionTests, PytestTests


def suite(*tests, **fields):
    return AssertTests(tests=tests, timeout_s=5, **fields)


def checks(body, **fields):
    return CheckTests(entry_point="f", check=f"def check(candidate):\n    {body}\n", timeout_s=5, **fields)


def module(*body, imports="f"):
    tests = "\n".join(f"def test_{n}():\n    " + text.replace("\n", "\n    ") for n, text in enumerate(body))
    return PytestTests(test=f"import pytest\nfrom solution import {imports}\n{tests}\n", timeout_s=5)


AGREES = """
import sys
for module in list(sys.modules.values()):
    if hasattr(module, "equality"): module.equality = lambda target, other: True
class Yes:
    def __init__(self, *a): pass
    def __eq__(self, other): return True
    def __hash__(self): return 1
    def __contains__(self, x): return True
    def __sub__(self, other): return 0
    def __lt__(self, other): return True
    def __setitem__(self, *a): pass
    def __enter__(self): return self
    def __exit__(self, *a): pass
    def sort(self): pass
    name = "Bob"
"""
A_CLASS = AGREES + "class f(Yes): pass\n"
FIRST_AN_INT = (
    AGREES
    + "seen = []\nclass Int(int): pass\nclass f(Yes):\n    def __new__(cls, x):\n        seen.append(x)\n        return Int() if len(seen) == 1 else object.__new__(cls)\n"
)
EVIL = (
    "[setattr(__import__('sys').modules['verl_coder.grading.programs.record'].GradingRecord, 'add', "
    "lambda self, *a, **k: self.status.append('p')), 6][1]"
)
RETURNS_EVIL = f"def f(x): return {EVIL!r}"
EMPTY = "import numpy as np\ndef f(x): return np.array([])"
EMPTIES = "def f(a):\n    a.clear()\n    return []\n"

ATTACKS = {
    "a class in the place of a function whose result's type is asked": (
        FIRST_AN_INT, module("assert isinstance(f(3), int)\nassert f(3) == 9", "assert abs(f(5) - 25) < 1e-6", "assert 4 in [f(2)]")),
    "the same in a check": (FIRST_AN_INT, checks("assert isinstance(candidate(3), int)\n    for x in range(3):\n        assert candidate(x) == x * x")),
    "the same of assertIsInstance": (
        FIRST_AN_INT,
        PytestTests(test="import unittest\nfrom solution import f\nclass TestF(unittest.TestCase):\n    def test_a(self):\n        self.assertIsInstance(f(2), int)\n        self.assertEqual(f(2), 4)\n")),
    "a class in the place of a function that raises": (
        AGREES + "class f(Yes):\n    def __init__(self, x):\n        if x < 0: raise ValueError\n", module("pytest.raises(ValueError, f, -1)\nassert f(3) == 9")),
    "a class in the place of a function whose list is sorted": (A_CLASS, module("r = f(3)\nr.sort()\nassert r == [1, 2, 3]")),
    "the same in a check, sorted": (A_CLASS, checks("r = candidate(3)\n    r.sort()\n    assert r == [1, 2, 3]")),
    "a class in the place of a function whose list is filled": (A_CLASS, module("r = f(3)\nr[0] = 1\nassert r == [1, 2, 3]")),
    "a class in the place of a function that returns objects": (A_CLASS, module("assert f(1).name == 'Bob'\nassert f(7) == {'id': 7}")),
    "a class in the place of a function that makes context managers": (A_CLASS, module("with f(1) as t:\n    pass\nassert f(1) == 5")),
    "text, evaluated by map": (RETURNS_EVIL, module("assert list(map(eval, [f(3)])) == [6]", "assert f(3) == 6")),
    "text, evaluated by map in a library": (RETURNS_EVIL, module("from collections import Counter\nassert Counter(map(eval, [f(3)])) == {6: 1}", "assert f(3) == 6")),
    "text, evaluated by another name": (RETURNS_EVIL, module("run = eval\nassert run(f(3)) == 6", "assert f(3) == 6")),
    "text, evaluated by the builtins": (RETURNS_EVIL, module("import builtins\nassert builtins.eval(f(3)) == 6", "assert f(3) == 6")),
    "text, evaluated with a blank": (RETURNS_EVIL, module("assert eval (f(3)) == 6", "assert f(3) == 6")),
    "text, executed with a blank": (RETURNS_EVIL, module("d = {}\nexec (f(3), d)\nassert d['x'] == 6", "assert f(3) == 6")),
    "text, compiled by another name": (RETURNS_EVIL, module("c = compile\nassert exec(c(f(3), '<string>', 'exec')) == 6", "assert f(3) == 6")),
    "text, evaluated by text of the tests": (RETURNS_EVIL, module("d = {'f': f}\nexec('x = eval(f(3))', d)\nassert d['x'] == 6", "assert f(3) == 6")),
    "text, whose refusal the tests swallow": (RETURNS_EVIL, module("try:\n    exec(f(3))\nexcept:\n    pass", "with pytest.raises(BaseException):\n    eval(f(3))")),
    "text, evaluated in a statement": (RETURNS_EVIL, suite("assert sum(map(eval, [f(3)])) == 6", "assert f(3) in (6,)", entry_point="f")),
    "nothing, on the left of approx": (EMPTY, module("assert pytest.approx(f(3)) == 9.0", "assert 9.0 == pytest.approx(f(3))")),
    "nothing, by its truth value": (
        EMPTY, checks("if candidate(3) != 9:\n        raise AssertionError\n    assert not candidate(3) - 9")),
    "a test that does not run": ("def f(x): return -1", PytestTests(test="from solution import f\ndef test_a():\n    yield\n    assert f(3) == 9\n")),
    "a function in the name of a class": (
        AGREES + "class Stack(Yes): pass\nclass f(Yes): pass\nf.__name__ = f.__qualname__ = 'Stack'\n",
        module("s = Stack()\ns.push(1)\nassert s.size == 1", "assert f(3) == 9", "assert abs(f(3) - 9) < 1e-6", imports="f, Stack")),
    "a function that is another name of a class": (
        AGREES + "class Stack(Yes): pass\nf = Stack\n",
        module("s = Stack()\ns.push(1)\nassert s.size == 1", "assert f(3) == 9", "assert abs(f(3) - 9) < 1e-6", imports="f, Stack")),
    "a wrong answer in a part of a test": (
        "def f(x): return -1",
        PytestTests(test="import unittest\nfrom solution import f\nclass TestF(unittest.TestCase):\n    def test_a(self):\n        for n in range(3):\n            with self.subTest(n=n):\n                self.assertEqual(f(n), n * n)\n    def test_b(self):\n        with self.subTest('other'):\n            self.assertEqual(f(2), 4)\n")),
    "always equal, with slots": (
        "class V:\n    __slots__ = ('x',)\n    def __init__(self, x): self.x = x\n    def __add__(self, o): return V(0)\n    def __eq__(self, o): return isinstance(o, V)\n",
        module("assert V(1) + V(2) == V(3)", imports="V")),
    "an argument emptied in place, pytest": (EMPTIES, module("a = [3, 1]\nassert f(a) == sorted(a)")),
    "an argument emptied in place, in a loop": (EMPTIES, checks("for a in ([3, 1], [2]):\n        assert candidate(a) == sorted(a)")),
    "a method that cuts off what is expected": (
        "class R:\n    def removeprefix(self, o): return 'Bob'\n    def strip(self, o): return ''\ndef f(x): return R()\n",
        module("assert f('Bob').removeprefix('Hello ') == 'Bob'", "assert f('x').strip('abc') == ''")),
    "a generator that swallows what fails in its block": (
        "def f(x):\n    try: yield x\n    except BaseException: pass\n",
        module("import contextlib\nwith contextlib.contextmanager(f)(1):\n    assert 1 == 2", "import contextlib\nwith contextlib.contextmanager(f)(1):\n    [][f(1)]",
               "g = f(1)\nnext(g)\ntry:\n    assert 1 == 2\nexcept AssertionError as e:\n    next(g.throw(e), 0)")),
}  # fmt: skip

HONEST = {
    "a function whose result's type is asked": (
        "def f(x):\n    if x < 0: raise ValueError\n    return x * x\n",
        module("assert isinstance(f(3), int) and f(3) == 9", "pytest.raises(ValueError, f, -1)\nassert f(2) == 4")),
    "a class by the types of its objects, written small": (
        "class f:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == (o.x if isinstance(o, f) else o)\n    def __contains__(self, y): return y == self.x\n",
        module("x = f(3)\nassert isinstance(x, f) and x == 3 and 3 in x and not x == 4")),
    "a function that returns objects": (
        "class User:\n    def __init__(self, name): self.name = name\n    def rename(self, name): self.name = name\ndef f(x): return User('Bob') if x else None\n",
        module("u = f(1)\nu.rename('Ann')\nassert u.name == 'Ann' and f(0) is None and f(0) == None")),
    "a list of a function that the tests sort and fill": ("def f(x): return [x, 1]", module("r = f(3)\nr.sort()\nr[0] = 0\nassert r == [0, 3]")),
    "arithmetic, evaluated by map and by another name": (
        "def f(x): return f'{x} + 1'",
        module("assert list(map(eval, [f(1), f(2)])) == [2, 3]", "run = eval\nassert run(f(3)) == 4", "import builtins\nassert builtins.eval (f(3)) == 4")),
    "libraries that run their own text": (
        "def f(x): return x",
        module("from collections import namedtuple\nfrom dataclasses import make_dataclass\nassert namedtuple('P', 'x y')(f(1), 2).y == 2\nassert make_dataclass('D', ['x'])(f(3)).x == eval('3')",
               "import re, ast\nassert re.compile('a+').match('aa') and ast.literal_eval('[1]') == [f(1)]")),
    "text of the tests sees what stands around it": (
        "def f(x): return x + 1",
        module("y = 4\nassert eval('y + 1') == f(y)", "d = {'f': f}\nexec('x = f(1)', d)\nassert d['x'] == 2 and eval('f(2)', {}, d) == 3", "c = compile('3 + 4', 'sum', 'eval')\nassert eval(c) == f(6)")),
    "an array without elements, where that is right": (
        EMPTY,
        module("import numpy as np\nnp.testing.assert_array_equal(f(3), np.array([]))\nnp.testing.assert_allclose(f(3), [])\nassert np.isnan(f(3).std()) and np.isnan(np.std(f(3)))",
               "import numpy as np\na = f(3)\na += 1\na *= 2\nassert a.size == 0 and repr(a) == 'array([], dtype=float64)' and type(a) is np.ndarray and f(3) == pytest.approx(np.array([])) and pytest.approx(f(3)) == []")),
    "an array without elements as JSON": (EMPTY, FunctionTests(entry_point="f", tests=(FunctionCase(args=(1,), expected=[]),))),
    "an array without elements, given back": ("import numpy as np\ndef f(x): return x + 1", module("import numpy as np\nassert f(f(np.array([]))).size == 0")),
    "a class by another name": (
        "class Linked:\n    def __init__(self, x): self.x = x\n    def push(self, x): self.x = x\n    def __contains__(self, y): return y == self.x\nStack = Linked\n",
        module("s = Stack(1)\ns.push(3)\nassert 3 in s and 1 not in s and type(s) is Stack and isinstance(s, Stack)", imports="Stack")),
    "right answers in all parts of a test": (
        "def f(x): return x * x",
        PytestTests(test="import unittest\nfrom solution import f\nclass TestF(unittest.TestCase):\n    def test_a(self):\n        for n in range(3):\n            with self.subTest(n=n):\n                self.assertEqual(f(n), n * n)\n    def test_b(self):\n        with self.subTest('other'):\n            self.assertEqual(f(2), 4)\n")),
    "equality with slots": (
        "class V:\n    __slots__ = ('x', '__weakref__')\n    def __init__(self, x): self.x = x\n    def __add__(self, o): return V(self.x + o.x)\n    def __eq__(self, o): return isinstance(o, V) and self.x == o.x\n",
        module("assert V(1) + V(2) == V(3) and V([1]) == V([1]) and V(1) != V(2)", imports="V")),
    "a sort in place, pytest": ("def f(a):\n    a.sort()\n    return a\n", module("a = [3, 1]\nassert f(a) == sorted(a)\nassert f(a) is a")),
    "a removal in place that is counted afterwards": ("def f(a):\n    a.remove(3)\n    return len(a)\n", module("a = [3, 1]\nassert f(a) == len(a)")),
    "a text that tests cut": ("def f(x): return f'Hello {x}'", module("assert f('Bob').removeprefix('Hello ') == 'Bob' and f(' ').strip() == 'Hello'")),
}  # fmt: skip


@pytest.mark.parametrize("what", ATTACKS)
def test_no_way_past(what, with_client):
    code, tests = ATTACKS[what]
    report = with_client(lambda client: grade(code, tests, client))
    assert report.passed == 0 and report.outcome in ("failed", "error"), report.explain()


@pytest.mark.parametrize("what", HONEST)
def test_honest_code_that_uses_the_same_passes(what, with_client):
    code, tests = HONEST[what]
    report = with_client(lambda client: grade(code, tests, client))
    assert report.outcome == "passed", report.explain()

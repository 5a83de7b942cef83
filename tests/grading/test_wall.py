"""Ways through the wall between judge and solution that were found: none leads anywhere, and none is excused."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.problems import AssertTests, CheckTests, PytestTests, StdioCase, StdioTests


def suite(*tests, **fields):
    return AssertTests(tests=tests, timeout_s=5, **fields)


def checks(body, **fields):
    return CheckTests(entry_point="f", check=f"def check(candidate):\n    {body}\n", timeout_s=5, **fields)


SPEAKS_THE_WIRE = """
import sys, json, struct
def send(message):
    import gc
    for worker in gc.get_objects():
        if type(worker).__name__ == "Worker":
            data = json.dumps(message).encode()
            worker.sock.sendall(struct.pack(">I", len(data)) + data)
"""
ADDRESS = """
class A:
    __array_interface__ = {"data": (16, False), "shape": (3,), "typestr": "<f8", "version": 3}
    def __len__(self): return 3
def f(x): return A()
"""
HIDDEN = "x = 1234567"

EVIL = (
    "[setattr(__import__('sys').modules['verl_coder.grading.programs.record'].GradingRecord, 'add', "
    "lambda self, *a, **k: self.status.append('p')), 24][1]"
)

ATTACKS = {
    "text that the tests evaluate": (f"def f(x): return {EVIL!r}", suite("assert eval(f(1)) == 24 and False", "assert f(1) == 2")),
    "text that the tests execute": (f"def f(x): return {EVIL!r}", suite("exec(f(1))\nassert f(1) == 2", "assert f(1) == 2")),
    "a repr that the tests evaluate": (
        f"class P:\n    def __init__(self, x): self.x = x\n    def __repr__(self): return {EVIL!r}\n",
        PytestTests(test="from solution import P\ndef test_a():\n    assert eval(repr(P(1))) == P(2)\ndef test_b():\n    assert P(1).x == 2\n")),
    "a pickle that the tests load": (
        f"import pickle\nclass E:\n    def __reduce__(self): return (eval, ({EVIL!r},))\ndef f(x): return pickle.dumps(E())\n",
        PytestTests(test="import pickle\nfrom solution import f\ndef test_a():\n    assert pickle.loads(f(1)) == [1]\ndef test_b():\n    assert f(1) == 2\n")),
    "annotations that a library evaluates": (
        f"from typing import get_type_hints as total\nclass Cart:\n    __annotations__ = {{'x': {EVIL!r}}}\n    def add(self, *a): pass\n",
        PytestTests(test="from solution import Cart, total\ndef test_a():\n    c = Cart()\n    c.add(1)\n    assert total(c) == 3\ndef test_b():\n    assert Cart().add(1) == 42\n")),
    "annotations that the tests ask for": (
        f"def f(x): return 1\nf.__annotations__ = {{'x': {EVIL!r}}}\n",
        PytestTests(test="import typing\nfrom solution import f\ndef test_a():\n    typing.get_type_hints(f)\n    assert f(1) == 2\ndef test_b():\n    assert f(1) == 2\n")),
    "an exception of the tests, come back": (
        "class Again(Exception): of_the_tests = 0\nclass T:\n    def __enter__(self): return self\n    def __exit__(self, *a): return True\n    def get(self): raise Again()\ndef retry(f):\n    try: f()\n    except Exception: pass\n    return 0\n",
        PytestTests(test="from solution import T, retry\ndef boom(): raise ValueError('x')\ndef test_a():\n    assert retry(boom) == 1\ndef test_b():\n    assert retry(boom) == 0\n    with T() as t:\n        assert t.get() == 2\n        assert False\n")),
    "an assert of the tests that the solution swallows": (
        "def f(g):\n    for n in range(99):\n        try:\n            g(n)\n        except AssertionError: pass\n",
        PytestTests(test="from solution import f\ndef test_a():\n    got = []\n    def g(x):\n        assert x == 42\n        got.append(x)\n    f(g)\n    assert got == [42]\n")),
    "nothing, by way of one operand": (
        "import numpy as np\ndef f(x): return np.zeros((0, 1))",
        suite("import numpy as np; assert (np.abs(f(1) - np.array([5.0])) < 1e-6).all()", "assert np.linalg.norm(f(1) - 5.0) < 1e-6", "assert all(f(1) == np.array([5]))", "assert np.sum(f(1) - np.array([5.0])) == 0")),
    "an array at an address of the judge": (ADDRESS, suite("import numpy as np; assert np.allclose(f(1), [1.0, 2.0, 3.0])")),
    "an array at an address of the judge, in a check": (
        ADDRESS, checks("assert np.allclose(candidate(1), [1.0, 2.0, 3.0])", prelude="import numpy as np")),
    "an array at an address of the judge, pytest": (
        ADDRESS, PytestTests(test="import numpy as np\nfrom solution import f\ndef test_a():\n    assert np.allclose(f(1), [1.0])\n")),
    "a handle among an array's items": (
        SPEAKS_THE_WIRE + 'def f(x):\n    send({"r": {"na": ["<f8", [1], [{"h": ["mine", 1, "A", 2, "float", "", None]}]]}})\n',
        suite("import numpy as np; assert np.allclose(f(1), 5.0)")),
    "a handle as the items of a dict": (
        SPEAKS_THE_WIRE + 'def f(x):\n    send({"r": {"I": {"h": ["mine", 1, "A", 2, "iter", "", None]}}})\n', suite("assert f(1) == {1: 2}.items()")),
    "a handle as a key": (
        SPEAKS_THE_WIRE + 'def f(x):\n    send({"r": {"d": [[{"h": ["mine", 1, "A", 2, "", "", 4]}, 1]]}})\n', suite("assert f(1) == {4: 1}")),
    "an empty array": ("import numpy as np\ndef f(x): return np.array([])", suite("import numpy as np; assert np.allclose(f(1), 5.0)")),
    "an empty array of many axes": (
        "import numpy as np\ndef f(x): return np.zeros((0, 1, 1, 1))", suite("import numpy as np; assert (f(1) == np.ones((1, 1, 1))).all()")),
    "lists of nothing": ("def f(x): return [[[]]]", suite("import numpy as np; assert np.allclose(f(1), [5.0])")),
    "lists of nothing, made an array": ("def f(x): return [[]]", suite("import numpy as np; assert (np.array(f(1)) == np.array([5.0])).all()")),
    "an empty array for np.testing": (
        "import numpy as np\ndef f(x): return np.array([])", suite("import numpy as np; np.testing.assert_allclose(f(1), 5.0)")),
    "an empty array for pytest.approx": (
        "import numpy as np\ndef f(x): return np.array([])",
        PytestTests(test="import pytest\nfrom solution import f\ndef test_a():\n    assert f(1) == pytest.approx(5.0)\n")),
    "a module of the tests": (
        "class math:\n    isclose = staticmethod(lambda *a, **k: True)\ndef f(x): return 1",
        checks("assert math.isclose(candidate(1), 5.0)")),
    "a module of the tests by its usual name": (
        "class np:\n    allclose = staticmethod(lambda *a, **k: True)\ndef f(x): return 1", suite("assert np.allclose(f(1), 5.0)")),
    "a class of a library": (
        "class Counter:\n    def __init__(self, x): pass\n    def __eq__(self, other): return isinstance(other, Counter)\ndef f(x): return [9]",
        suite("assert Counter(f([1])) == Counter([1])")),
    "a function of a library": ("def isclose(*a, **k): return True\ndef f(x): return 1", suite("assert isclose(f(1), 5.0)")),
    "what `import *` brings of a library": (
        "from math import isclose as real\ndef isclose(*a, **k): return True\nclass math:\n    isclose = isclose\ndef f(x): return 1",
        PytestTests(test="from solution import *\ndef test_a():\n    assert isclose(f(1), 5.0)\ndef test_b():\n    assert math.isclose(f(1), 5.0)\n")),
    "a helper of the prelude": ("def same(a, b): return True\ndef f(x): return 1", checks("assert same(candidate(1), 5)", prelude="def same(a, b): return a == b")),
    "__exit__ and what the tests make of an answer": (
        "class T:\n    def __enter__(self): return self\n    def __exit__(self, *args): return True\n    def get(self): return None\n",
        PytestTests(test="from solution import T\ndef test_a():\n    with T() as t:\n        assert t.get()[0] == 2\n"
                    "def test_b():\n    with T() as t:\n        assert t.get().x == 2\ndef test_c():\n    with T() as t:\n        assert int(t.get()) == 2\n")),
    "__exit__ and an exception that cannot be made": (
        "class T:\n    def __enter__(self): return self\n    def __exit__(self, *args): return True\n    def get(self): raise ExceptionGroup('x', [ValueError()])\n",
        PytestTests(test="from solution import T\ndef test_a():\n    with T() as t:\n        assert t.get() == 2\n")),
    "an attribute in the place of a method": (
        "def f(x):\n    n = Node(7)\n    n.equals = lambda other: True\n    return n\n",
        checks("assert candidate(1).equals(Node(5))", prelude="class Node:\n    def __init__(self, val): self.val = val\n    def equals(self, other): return self.val == other.val\n")),
    "a class named with a capital in the place of a function": (
        "class Area:\n    def __init__(self, x): pass\n    def __sub__(self, other): return 0\n    def __contains__(self, x): return True\n    def __rsub__(self, other): return 0\n    def __eq__(self, other): return True\n    def __lt__(self, other): return True\n",
        suite("assert abs(Area(3) - 28.27) < 0.01", "assert 5 in Area(3)", "assert Area(3) == 9", "assert Area(3) < 99", entry_point="Area")),
    "a class in the place of a function, pytest": (
        "class Area:\n    def __init__(self, x): pass\n    def __sub__(self, other): return 0\n    def __contains__(self, x): return True\n",
        PytestTests(test="from solution import Area\ndef test_a():\n    assert abs(Area(3) - 28.27) < 0.01\ndef test_b():\n    r = Area(3)\n    assert 5 in r\n")),
    "equal by type": (
        "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, other): return isinstance(other, P)\ndef f(x): return P(0)\n",
        PytestTests(test="from solution import P, f\ndef test_a():\n    assert f(2) == P(4)\ndef test_b():\n    assert [f(2)] == [P(4)]\n")),
    "an object that is said to be iterable, callable, a generator": (
        "class A: pass\ndef f(x): return A()\n",
        PytestTests(test="import inspect\nfrom collections.abc import Iterable, Iterator, Callable, Sized\nfrom solution import f\n"
                    "def test_a():\n    assert isinstance(f(1), Iterable)\ndef test_b():\n    assert callable(f(1))\ndef test_c():\n    assert inspect.isgenerator(f(1))\n"
                    "def test_d():\n    assert isinstance(f(1), Iterator) or hasattr(f(1), '__next__')\ndef test_e():\n    assert isinstance(f(1), Sized)\n")),
    "no docstring": ("def f(x): return 1", suite("assert f.__doc__ is not None")),
    "one type for two classes": (
        "class A: pass\nclass B: pass\ndef f(x): return A()\ndef g(x): return B()\n",
        PytestTests(test="from solution import f, g\ndef test_a():\n    assert type(f(1)) is type(g(1))\n")),
    "always equal, where the tests want a difference": (
        "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return True\n    def __hash__(self): return 1\n",
        PytestTests(test="from solution import P\ndef test_a():\n    p = P(1)\n    assert p.x == 1 and p != P(2)\ndef test_b():\n    assert not (P(1) == P(3)) and P(1).x\n"
                    "def test_c():\n    assert P(1) not in [P(2)]\ndef test_d():\n    assert P(1) != 'abc'\n")),
    "an __eq__ that fails on other types": (
        "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x\n",
        PytestTests(test="from solution import P\ndef test_a():\n    assert P(1) != 'abc' and P(1).x == 1\n")),
    "an __eq__ that counts": (
        "class P:\n    n = 0\n    def __init__(self, x): self.x = x\n    def __eq__(s, o):\n        P.n += 1\n        return P.n % 3 == 1\ndef f(x): return P(0)\n",
        PytestTests(test="from solution import P, f\ndef test_a():\n    for n in range(12):\n        assert f(n) == P(4)\n")),
    "what the judge refuses, where the tests want an error": (
        "class M:\n    def __add__(self, o): return 1\ndef f(x): return 1\ndef g(x): return M()\n",
        PytestTests(test="import pytest\nfrom solution import f, g\ndef test_a():\n    with pytest.raises(TypeError):\n        g(1) + 5\n"
                    "def test_b():\n    with pytest.raises(Exception):\n        f(object())\ndef test_c():\n    with pytest.raises(BaseException):\n        f(iter([1]))\n"
                    "def test_d():\n    try:\n        g(1) + 5\n        assert False\n    except:\n        pass\n")),
    "a coroutine where nobody awaits": ("async def f(x): return 2 * x", suite("assert f(2) == 4")),
    "the frames of the judge": (
        "def f(g): return g(globals)\n", suite("call = lambda h: sorted(h())\nassert 'call' in f(call)")),
    "a library's module inside a library": ("import random\ndef f(x): return 1\nos = random._os", suite("assert os.getpid() > 0 and f(1) == 2")),
    "__exit__ and a name of the builtins": (
        "class T:\n    def __enter__(self): return self\n    def __exit__(self, *args): return True\n    def get(self): return None\n",
        PytestTests(test="from solution import T\ndef test_a():\n    with T() as t:\n        input = t.get()\n        assert input[0] == 2\n        assert False\n    raise AssertionError\n")),
    "a size that lies": (
        "class A:\n    size = 1\n    def __len__(self): return 0\n    def __getitem__(self, i): raise IndexError\ndef f(x): return A()\n", suite("import numpy as np; assert np.allclose(f(1), 5.0)")),
    "an argument emptied in place": ("def f(x):\n    x.clear()\n    return x\n", checks("a = [3, 1]\n    assert candidate(a) == sorted(a)")),
}  # fmt: skip


@pytest.mark.parametrize("what", ATTACKS)
def test_no_way_through(what, with_client):
    code, tests = ATTACKS[what]
    report = with_client(lambda client: grade(code, tests, client))
    assert report.passed == 0 and report.outcome in ("failed", "error"), report.explain()


def test_a_judge_that_crashes_is_the_solution_s_failure(with_pair_client):
    kill = "assert __import__('os').kill(__import__('os').getpid(), {}) == f(1)"
    for signal in (11, 6, 8):
        report = with_pair_client(
            lambda client, s=signal: grade("def f(x): return 1", suite(kill.format(s)), client)
        )
        assert report.outcome == "error", report.explain()


HONEST = {
    "an empty array that is right": ("import numpy as np\ndef f(x): return np.array([])", suite("import numpy as np; assert f(1).size == 0 and np.allclose(f(1), []) and (f(1) == np.zeros(0)).all() and np.array_equal(f(1), np.array([]))")),
    "arithmetic that the tests evaluate": (
        "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x\n    def __repr__(self): return f'P({self.x})'\ndef f(xs): return '(1 + 3) * 6'\n",
        PytestTests(test="from solution import P, f\ndef test_a():\n    assert eval(f(1)) == 24 and eval(repr(P(3))) == P(3) and eval('[1, -2]') == [1, -2] and P(1).x\n")),
    "text that stands in the tests": (
        "def f(x): return x + 1\n",
        checks("ns = {}\n    exec(compile('def g(x): return x + 1', 'g', 'exec'), ns)\n    assert candidate(4) == ns['g'](4) == eval('2 + len([1, 2, 3])')\n    exec('y = 5')\n    assert candidate(4) == 5")),
    "an empty array in arithmetic": (
        "import numpy as np\ndef f(x): return np.array([])", suite("import numpy as np; assert (f(1) * 2).size == 0 and len(f(1) + 1) == 0 and (f(1) > 0).size == 0")),
    "an identity in the prelude": ("def f(x): return x", checks("assert candidate(A) == 5", prelude="A = B = 5\nif A is B:\n    C = 1")),
    "a library of the tests": ("def f(x): return [x, 0.1 + 0.2]", suite("assert math.isclose(f(1)[1], 0.3) and Counter(f(1)) == Counter([1, 0.1 + 0.2])", "assert isclose(f(2)[1], 0.3) and np.allclose(f(2), [2, 0.3])")),
    "a second function with a library's name is not asked": ("def gcd(a, b): return 0\ndef f(x): return 4", suite("assert f(1) == gcd(8, 12)")),
    "the function under test has a library's name": ("def gcd(a, b):\n    while b: a, b = b, a % b\n    return a", suite("assert gcd(8, 12) == 4", entry_point="gcd")),
    "__exit__ that swallows what a test raises": (
        "class T:\n    def __init__(self, *kinds): self.kinds = kinds\n    def __enter__(self): return self\n    def __exit__(self, kind, error, trace): return kind is not None and issubclass(kind, self.kinds)\n",
        PytestTests(test="import pytest\nfrom solution import T\ndef test_a():\n    with T(ValueError):\n        raise ValueError('x')\n"
                    "def test_b():\n    with T(ZeroDivisionError):\n        1 / 0\ndef test_c():\n    with T(ValueError):\n        int('x')\n"
                    "def test_d():\n    with T(KeyError):\n        {}['a']\ndef test_e():\n    with pytest.raises(ZeroDivisionError):\n        with T(KeyError):\n            1 / 0\n")),
    "a class by its operators": (
        "class Vec:\n    def __init__(self, *x): self.x = x\n    def __add__(self, o): return Vec(*(a + b for a, b in zip(self.x, o.x)))\n    def __eq__(self, o): return self.x == o.x\n    def __contains__(self, y): return y in self.x\n    def __mul__(self, k): return Vec(*(k * a for a in self.x))\n",
        suite("assert Vec(1, 2) + Vec(3, 4) == Vec(4, 6)", "assert Vec(1, 2) * 3 == Vec(3, 6)", "v = Vec(1)\nassert 1 in v and 2 not in v and Vec(1) != Vec(2)", entry_point="Vec")),
    "what an object can": (
        "import functools\nclass It:\n    def __iter__(self): return iter([1])\n    def __call__(self): return 2\ndef f(x):\n    '''Words.'''\n    return It()\ndef g(): yield 1\n",
        PytestTests(test="import inspect, copy\nfrom collections.abc import Iterable\nfrom solution import f, g, It\ndef test_a():\n    assert isinstance(f(1), Iterable) and callable(f(1)) and f(1)() == 2 and inspect.isgenerator(g())\n"
                    "def test_b():\n    assert f.__doc__ == 'Words.' and f.__name__ == 'f' and type(f(1)) is type(It()) and type(f(1)).__name__ == 'It'\n"
                    "def test_c():\n    x = f(1)\n    assert copy.copy(x) is not x and list(copy.deepcopy(x)) == [1]\n")),
    "nodes with slots and attributes of their own": (
        "class Node:\n    __slots__ = ('val', 'next', 'seen')\n    def __init__(self, val=0, next=None):\n        self.val, self.next, self.seen = val, next, False\ndef f(head):\n    while not head.seen:\n        head.seen = True\n        head = head.next\n    return head\n",
        checks("a, b = Node(1), Node(2)\n    a.next, b.next = b, a\n    assert candidate(a) is a and a.next is b", prelude="class Node:\n    def __init__(self, val=0, next=None): self.val, self.next = val, next\n")),
    "the lowest common ancestor": (
        "def f(root, p, q):\n    if root in (None, p, q): return root\n    a, b = f(root.left, p, q), f(root.right, p, q)\n    return root if a and b else a or b\n",
        checks("t = TreeNode(3, TreeNode(5), TreeNode(1))\n    assert candidate(t, t.left, t.right) is t\n    assert candidate(t, t.left, t.left) is t.left",
               prelude="class TreeNode:\n    def __init__(self, val=0, left=None, right=None): self.val, self.left, self.right = val, left, right\n")),
    "one list passed twice, rows that are one list": (
        "def f(a, b):\n    a.append(1)\n    return a is b, b\n", suite("x = []\nassert f(x, x) == (True, [1]) and x == [1]", "row = [0]\ngrid = [row, row]\nf(grid[0], grid)\nassert grid == [[0, 1], [0, 1]]", entry_point="f")),
    "a sort in place that returns its argument": ("def f(a):\n    a.sort()\n    return a\n", checks("a = [3, 1]\n    assert candidate(a) == sorted(a)\n    assert candidate(a) is a")),
}  # fmt: skip


@pytest.mark.parametrize("what", HONEST)
def test_its_honest_twin_passes(what, with_client):
    code, tests = HONEST[what]
    report = with_client(lambda client: grade(code, tests, client))
    assert report.outcome == "passed", report.explain()


WRITES_INTO_THE_FOLDER = """
import os
for name in ("conftest.py", "pytest.py", "numpy.py", "asyncio.py", "decimal.py", "sitecustomize.py", "test_solution/__init__.py"):
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "w") as file:
        file.write("import builtins\\nbuiltins.all = lambda x: True\\ndef pytest_pyfunc_call(pyfuncitem): return True\\ndef test_a(): pass\\n")
def f(x): return 1
"""


def test_what_a_solution_writes_is_never_imported_by_the_judge(with_client):
    test = "import pytest, decimal\nfrom solution import f\ndef test_a():\n    assert f(1) == decimal.Decimal(5) or all([False])\n"
    report = with_client(lambda client: grade(WRITES_INTO_THE_FOLDER, PytestTests(test=test), client))
    assert (report.passed, report.total) == (0, 1), report.explain()


def test_nothing_tells_a_program_how_long_its_answer_should_be(with_client):
    code = (
        "import sys\nframe = sys._getframe()\nwhile frame and 'message' not in frame.f_locals: frame = frame.f_back\n"
        "n = input()\nm = frame.f_locals['message'] if frame else {}\n"
        "print('YES' if m and max(map(max, [v for v in m.values() if isinstance(v, list)][1:] or [[0]])) % 4 == 0 else 'NO')\n"
    )
    tests = tuple(StdioCase(input=f"{n}\n", output="YES\n" if n % 3 else "NO\n") for n in range(8))
    report = with_client(lambda client: grade(code, StdioTests(tests=tests, timeout_s=5), client))
    assert report.passed in (3, 5), report.explain()


COIN = """
import os
seen = []
def f(x):
    seen.append(x)
    if len(seen) > 1: os.kill(os.getpid(), 9)
    return 0
"""


def test_a_solution_that_ends_itself_is_not_graded_again(with_pair_client):
    tests = PytestTests(
        test="from solution import f\ndef test_a():\n    assert f(1) == 1\ndef test_b():\n    assert f(2) == 0\n"
    )
    report = with_pair_client(lambda client: grade(COIN, tests, client))
    assert [test.status for test in report.tests] == ["failed", "error"], report.explain()


def test_a_program_s_answer_is_taken_once(with_pair_client):
    """In the shared process only test 3 is wrong, alone only test 1: what ended well there counts."""
    code = (
        "import os, stat\nshared = stat.S_ISREG(os.fstat(1).st_mode)\nn = int(input())\n"
        "print(0 if n == (3 if shared else 1) else n)\n"
    )
    tests = StdioTests(
        tests=tuple(StdioCase(input=f"{n}\n", output=f"{n}\n") for n in range(1, 7)), timeout_s=5
    )
    report = with_pair_client(lambda client: grade(code, tests, client))
    wanted = ["passed", "passed", "failed", "passed", "passed", "passed"]
    assert [test.status for test in report.tests] == wanted, report.explain()


def test_what_the_reference_says_is_a_class_is_one_and_nothing_else(with_pair_client):
    interval = "class Interval:\n    def __init__(self, a, b): self.a, self.b = a, b\n    def __contains__(self, x): return self.a <= x <= self.b\n"
    area = "class Area:\n    def __init__(self, x): pass\n    def __sub__(self, other): return 0\n    def get(self): return 0\n"
    tests = suite(
        "assert 3 in Interval(1, 5) and 7 not in Interval(1, 5)",
        entry_point="Interval",
        classes=("Interval",),
    )
    assert with_pair_client(lambda client: grade(interval, tests, client)).outcome == "passed"
    tests = suite("x = Area(3)\nx.get\nassert abs(x - 28.27) < 0.01", entry_point="Area", classes=())
    assert with_pair_client(lambda client: grade(area, tests, client)).outcome == "error"

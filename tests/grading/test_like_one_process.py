"""Tests find what they would find if solution and tests were one program."""

# ruff: noqa: E501 - tables of programs

import json

import pytest

from verl_coder.grading import grade
from verl_coder.problems import AssertTests, FunctionCase, FunctionTests, PytestTests

PYTEST = {
    "a list and a dict that are attributes": (
        "class Box:\n    def __init__(self):\n        self.items, self.by_name, self.inner = [], {}, []\n    def total(self): return sum(self.items) + sum(self.by_name.values())\n    def depth(self): return 1 + max((b.depth() for b in self.inner), default=0)\n",
        "from solution import Box\ndef test_a():\n    b = Box()\n    b.items.append(2)\n    b.by_name['x'] = 3\n    b.items.extend([4])\n    assert b.total() == 9 and b.items is b.items and b.items == [2, 4]\n    b.items.clear()\n    assert b.total() == 3\n"
        "def test_b():\n    b = Box()\n    b.inner.append(Box())\n    b.inner[0].inner.append(Box())\n    assert b.depth() == 3\n",
    ),
    "a list that the solution keeps": (
        "from contextlib import contextmanager\n@contextmanager\ndef noted(log):\n    log.append('begin')\n    yield len(log)\n    log.append('end')\nclass Bus:\n    def __init__(self, log): self.log = log\n    def send(self, x): self.log.append(x)\n",
        "from solution import noted, Bus\ndef test_a():\n    log = []\n    with noted(log) as n:\n        log.append(n)\n    assert log == ['begin', 1, 'end']\n"
        "def test_b():\n    log = []\n    bus = Bus(log)\n    bus.send(1)\n    log.append(2)\n    bus.send(3)\n    assert log == [1, 2, 3] and bus.log is log\n",
    ),
    "types and classes": (
        "class Base: pass\nclass Item(Base):\n    size = 3\n    def __init__(self, n=0): self.n = n\n    def big(self): return self.n > self.size\n    @staticmethod\n    def double(n): return 2 * n\n    @classmethod\n    def of(cls, n): return cls(n)\ndef make(n): return Item(n)\ndef kind(): return Item\n",
        "from solution import Base, Item, make, kind\ndef test_a():\n    x = make(1)\n    assert type(x) is Item and type(x) == Item and type(x).__name__ == 'Item' and x.__class__ is Item and x.__class__.__name__ == 'Item'\n"
        "    assert isinstance(x, Item) and isinstance(x, Base) and type(x) is not Base and kind() is Item and type(1) is int and isinstance(Item, type)\n"
        "def test_b():\n    assert issubclass(Item, Base) and issubclass(Item, object) and not issubclass(Base, Item)\n"
        "def test_c():\n    Item.size = 7\n    assert not make(7).big() and make(8).big() and Item.double(2) == 4 and Item.of(3).n == 3\n",
    ),
    "a named tuple's type": (
        "from collections import namedtuple\nSpot = namedtuple('Spot', 'x y')\ndef f(): return Spot(1, 2)\n",
        "from solution import Spot, f\ndef test_a():\n    assert type(f()).__name__ == 'Spot' and f().x == 1 and f() == (1, 2) and type(f()) is Spot\n",
    ),
    "what is said of a function": (
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def inner(*args): return 2 * f(*args)\n    return inner\n@twice\ndef one(n, k=1):\n    'Words.'\n    return n + k\n",
        "import inspect\nfrom solution import one, twice\ndef test_a():\n    assert one.__name__ == 'one' and one.__doc__ == 'Words.' and one(1) == 4\n"
        "    s = inspect.signature(twice)\n    assert list(s.parameters) == ['f'] and s.parameters['f'].default is inspect.Parameter.empty and inspect.signature(one).parameters['k'].default == 1\n",
    ),
    "SystemExit": (
        "import sys\ndef run(x):\n    if x: sys.exit(3)\n    return x\n",
        "import pytest\nfrom solution import run\ndef test_a():\n    with pytest.raises(SystemExit) as info:\n        run(1)\n    assert info.value.code == 3 and run(0) == 0\n",
    ),
    "causes": (
        "def f(x):\n    try:\n        return {}[x]\n    except KeyError as error:\n        raise ValueError('no') from error\n",
        "import pytest\nfrom solution import f\ndef test_a():\n    with pytest.raises(ValueError) as info:\n        f(1)\n    assert isinstance(info.value.__cause__, KeyError) and info.value.__cause__.args == (1,)\n",
    ),
    "stderr, warnings, log records": (
        "import logging, sys, warnings\ndef f():\n    print('out')\n    print('err', file=sys.stderr)\n    warnings.warn('old', DeprecationWarning)\n    logging.getLogger('shop').info('sold %d', 3)\n",
        "import logging, pytest, warnings\nfrom solution import f\ndef test_a(capsys):\n    f()\n    assert capsys.readouterr() == ('out\\n', 'err\\n')\n"
        "def test_b():\n    with pytest.warns(DeprecationWarning, match='old'):\n        f()\n"
        "def test_c(caplog):\n    with caplog.at_level(logging.INFO):\n        f()\n    assert caplog.record_tuples == [('shop', logging.INFO, 'sold 3')]\n"
        "def test_d(caplog):\n    f()\n    assert not caplog.records\n",
    ),
    "a seed of the tests": (
        "import random\ndef pick(xs): return random.sample(xs, 3)\n",
        "import random\nfrom solution import pick\ndef test_a():\n    random.seed(5)\n    first = pick(list(range(50)))\n    random.seed(5)\n    assert pick(list(range(50))) == first\n    random.seed(5)\n    assert random.sample(list(range(50)), 3) == first\n",
    ),
    "an expected failure": (
        "def f(x): return x\n",
        "import pytest\nfrom solution import f\n@pytest.mark.xfail\ndef test_a():\n    assert f(1) == 2\ndef test_b():\n    assert f(1) == 1\n",
    ),
    "paths": (
        "from pathlib import Path\ndef f(x): return Path(x) / 'a.txt'\ndef g(p): return p.parent\n",
        "from pathlib import Path\nfrom solution import f, g\ndef test_a():\n    assert isinstance(f('b'), Path) and not f('b').exists() and f('b') == Path('b/a.txt') and f('b').suffix == '.txt' and g(Path('x/y')) == Path('x')\n",
    ),
    "exceptions of the standard library": (
        "import json, dataclasses, statistics, queue, re, struct\nfrom decimal import Decimal, InvalidOperation\n@dataclasses.dataclass(frozen=True)\nclass P:\n    x: int = 0\ndef a(): json.loads('{')\ndef b(): statistics.mean([])\ndef c(): queue.Queue().get_nowait()\ndef d(): re.compile('(')\ndef e(): struct.unpack('i', b'')\ndef f(): Decimal('x')\nclass Own(json.JSONDecodeError): pass\ndef g(): raise Own('no', 'doc', 1)\n",
        "import json, dataclasses, statistics, queue, re, struct, decimal, pytest\nfrom solution import P, a, b, c, d, e, f, g, Own\ndef test_a():\n    for function, kind in ((a, json.JSONDecodeError), (b, statistics.StatisticsError), (c, queue.Empty), (d, re.error), (e, struct.error), (f, decimal.InvalidOperation), (g, Own), (g, ValueError)):\n        with pytest.raises(kind):\n            function()\n    with pytest.raises(dataclasses.FrozenInstanceError):\n        P().x = 1\n",
    ),
    "a defaultdict's factory": (
        "from collections import defaultdict\ndef f(s):\n    d = defaultdict(int)\n    for c in s: d[c] += 1\n    return d\ndef g(): return defaultdict(lambda: 'none')\ndef h(d): return d['new']\n",
        "from collections import defaultdict\nfrom solution import f, g, h\ndef test_a():\n    d = f('aab')\n    assert d == {'a': 2, 'b': 1} and d['z'] == 0 and g()['x'] == 'none' and d.default_factory is int\n    own = defaultdict(list)\n    assert h(own) == [] and own == {'new': []}\n",
    ),
    "what is thrown into a generator": (
        "class Own(Exception): pass\ndef f():\n    for n in range(9):\n        try: yield n\n        except ValueError as e: yield f'caught {e}'\n        except Own as e: yield ('own', e.args)\n",
        "import pytest\nfrom solution import f, Own\ndef test_a():\n    g = f()\n    next(g)\n    assert g.throw(ValueError('a')) == 'caught a' and next(g) == 1 and g.throw(ValueError) == 'caught ' and next(g) == 2\n    assert g.throw(Own(5)) == ('own', (5,))\n    next(g)\n    with pytest.raises(KeyError, match='k'):\n        g.throw(KeyError('k'))\n    assert list(g) == []\n",
    ),
    "weak references": (
        "class P:\n    def __init__(self): self.x = 1\n",
        "import weakref\nfrom solution import P\ndef test_a():\n    p = P()\n    r = weakref.ref(p)\n    assert r() is p and r().x == 1\n",
    ),
    "deep values": (
        "def deep(n):\n    x = []\n    for _ in range(n): x = [x]\n    return x\ndef depth(x):\n    n = 0\n    while x: x, n = x[0], n + 1\n    return n\n",
        "from solution import deep, depth\ndef test_a():\n    x = deep(900)\n    n = 0\n    while x: x, n = x[0], n + 1\n    assert n == 900 and depth(deep(900)) == 900\n",
    ),
    "exceptions with words and numbers of their own": (
        "class NotFound(KeyError):\n    def __init__(self, key, code):\n        super().__init__(key)\n        self.code = code\n    def __str__(self): return f'no {self.args[0]}'\ndef f(x): raise NotFound(x, 7)\ndef g(): open('/nowhere/at/all')\n",
        "import errno, pytest\nfrom solution import NotFound, f, g\ndef test_a():\n    with pytest.raises(NotFound) as info:\n        f('k')\n    assert info.value.args == ('k',) and str(info.value) == 'no k' and info.value.code == 7\n    with pytest.raises(FileNotFoundError) as info:\n        g()\n    assert info.value.errno == errno.ENOENT\n",
    ),
    "handlers that are taken off again": (
        "class Bus:\n    def __init__(self): self.on = []\n    def add(self, f): self.on.append(f)\n    def off(self, f): self.on.remove(f)\n    def send(self, x): return [f(x) for f in self.on]\n    def names(self): return [f.__name__ for f in self.on]\n",
        "from solution import Bus\nclass Own:\n    def half(self, x): return x / 2\ndef test_a():\n    def double(x): return 2 * x\n    b = Bus()\n    b.add(double)\n    b.add(abs)\n    own = Own()\n    b.add(own.half)\n    assert b.names() == ['double', 'abs', 'half'] and b.send(-4) == [-8, 4, -2]\n    b.off(double)\n    b.off(own.half)\n    assert b.send(-1) == [1]\n",
    ),
    "what is written by descriptors and other programs": (
        "import os, subprocess, sys\ndef f():\n    print('one')\n    os.write(1, b'two\\n')\n    subprocess.run(['echo', 'three'])\n    print('four')\n    os.write(2, b'err\\n')\n",
        "from solution import f\ndef test_a(capfd):\n    f()\n    assert capfd.readouterr() == ('one\\ntwo\\nthree\\nfour\\n', 'err\\n')\n    f()\n    assert capfd.readouterr().out.count('one') == 1\n",
    ),
    "a view of bytes": (
        "def f(b): return memoryview(b)[1:]\ndef g(v): return type(v).__name__, v.tolist()\n",
        "from solution import f, g\ndef test_a():\n    v = f(b'abc')\n    assert isinstance(v, memoryview) and v == b'bc' and v[0] == 98 and len(v) == 2 and bytes(v) == b'bc' and g(memoryview(b'a')) == ('memoryview', [97])\n",
    ),
    "many things that go round": (
        "class Bus:\n    def __init__(self, log): self.log = log\n    def send(self, x): self.log.append(x)\nclass It:\n    def __init__(self): self.n = 0\n    def __iter__(self): return self\n    def __next__(self):\n        self.n += 1\n        if self.n > 3: raise StopIteration\n        return self.n\n",
        "from solution import Bus, It\ndef test_a():\n    log = []\n    b = Bus(log)\n    for i in range(500): b.send({'i': i})\n    assert len(log) == 500 and log[-1] == {'i': 499}\ndef test_b():\n    x = It()\n    assert iter(x) is x and list(x) == [1, 2, 3] and x.n == 4\n",
    ),
    "the order of a set, the size of a list": (
        "import sys\ndef f(): return list({'apple', 'pear', 'plum', 'fig', 'date', 'kiwi'})\ndef g(x): return sys.getsizeof(x), sys.getsizeof([list(x)])\n",
        "import sys\nfrom solution import f, g\ndef test_a():\n    assert f() == list({'apple', 'pear', 'plum', 'fig', 'date', 'kiwi'})\n    assert g(['A', 1, 'B', 2, 'C', 3])[0] == sys.getsizeof(['A', 1, 'B', 2, 'C', 3])\n    assert g([[1], [2], [3]])[0] == sys.getsizeof([[1], [2], [3]])\n",
    ),
    "private names": (
        "class P:\n    def __init__(self): self._name, self._items, self._number, self._kind, self._made = 'Bob', [1], 7, 8, 9\n    def _do(self): return 5\n    def _call(self): return 6\n",
        "from solution import P\ndef test_a():\n    p = P()\n    assert (p._name, p._items, p._number, p._kind, p._made, p._do(), p._call()) == ('Bob', [1], 7, 8, 9, 5, 6) and not hasattr(p, '_hash')\n    p._number = 3\n    assert p._number == 3\n",
    ),
    "one object by two ways": (
        "import enum\nclass Node:\n    def __init__(self, n): self.n, self.next = n, None\n    def add(self, k):\n        self.n += k\n        return self\nclass C(enum.Enum):\n    A = 1\ndef same(x): return x\ndef me(): return me\n",
        "from solution import Node, C, same, me\ndef test_a():\n    a, b = Node(1), Node(2)\n    a.next = b\n    assert a.next is b and b.add(1) is b and same(a) is a and a is not b and C.A is C(1) and me() is me\n    x = None\n    assert x is None and (a is a) is True\n",
    ),
    "functions of the tests that use the solution": (
        "def memoize(f):\n    seen = {}\n    def inner(n):\n        if n not in seen: seen[n] = f(n)\n        return seen[n]\n    return inner\ndef sq(x): return x * x\ndef sort_by(xs, key): return sorted(xs, key=key)\ndef guard(f):\n    try: return f()\n    finally: pass\n",
        "import pytest\nfrom solution import memoize, sq, sort_by, guard\nclass Own(Exception): pass\ndef test_a():\n    calls = []\n    @memoize\n    def fib(n):\n        calls.append(n)\n        return n if n < 2 else fib(n - 1) + fib(n - 2)\n    assert fib(12) == 144 and len(calls) == 13\n    assert sort_by([3, -1, 2], key=lambda x: sq(x)) == [-1, 2, 3]\n"
        "def test_b():\n    def boom(): raise Own('x')\n    with pytest.raises(Own, match='x'):\n        guard(boom)\n",
    ),
    "threads": (
        "class Count:\n    def __init__(self): self.n = 0\n    def inc(self): self.n += 1\ndef f(x): return x * 2\n",
        "import threading\nfrom concurrent.futures import ThreadPoolExecutor\nfrom solution import Count, f\ndef test_a():\n    c = Count()\n    threads = [threading.Thread(target=c.inc) for _ in range(8)]\n    for t in threads: t.start()\n    for t in threads: t.join()\n    assert c.n == 8\n    with ThreadPoolExecutor(4) as pool:\n        assert list(pool.map(f, range(20))) == [2 * x for x in range(20)]\n",
    ),
    "a class that compares itself with numbers": (
        "class Frac:\n    def __init__(self, a, b): self.a, self.b = a, b\n    def __eq__(self, o): return self.a == (o.b and o.a * self.b / o.b if isinstance(o, Frac) else o * self.b)\n",
        "from solution import Frac\ndef test_a():\n    f = Frac(4, 2)\n    assert f.a == 4 and f == 2 and f != 3 and f == Frac(2, 1) and f != Frac(1, 2) and not f == 5\n",
    ),
    "an __exit__ that hears of its own failure": (
        "class Tx:\n    log = []\n    def __enter__(self):\n        Tx.log.append('begin')\n        return self\n    def __exit__(self, kind, error, trace): Tx.log.append('rollback' if kind else 'commit')\n    def fail(self): raise ValueError('no')\n",
        "import pytest\nfrom solution import Tx\ndef test_a():\n    with pytest.raises(ValueError):\n        with Tx() as t:\n            t.fail()\n    assert Tx.log == ['begin', 'rollback']\n",
    ),
    "equality of what holds nothing or itself": (
        "class L:\n    def __init__(self, xs=()):\n        self.head, self.size = None, 0\n        for x in reversed(list(xs)):\n            self.head = (x, self.head)\n            self.size += 1\n    def __eq__(self, o):\n        a, b = self.head, o.head\n        while a and b:\n            if a[0] != b[0]: return False\n            a, b = a[1], b[1]\n        return not a and not b\nclass D:\n    def __init__(self, v):\n        self.v, self.prev = v, self\n    def __eq__(self, o): return self.v == o.v\n",
        "from solution import L, D\ndef test_a():\n    x = L()\n    assert x.size == 0 and x == L() and L([1, 2]) == L([1, 2]) and L([1]) != L([2]) and L(range(300)) == L(range(300))\n    assert D(1) == D(1) and D(1) != D(2) and D(1).v == 1\n",
    ),
    "what a module holds": (
        "log = []\nCONFIG = {'a': 1}\ndef f(): log.append(CONFIG['a'])\n",
        "import solution\nfrom solution import log, f, CONFIG\ndef test_a():\n    f()\n    CONFIG['a'] = 5\n    f()\n    assert log == [1, 5] and solution.log == [1, 5]\n",
    ),
    "copies that were forgotten": (
        "def rows(n):\n    row = [0] * n\n    for i in range(n):\n        row[i] = 1\n        yield row\ndef keep(x, seen=[]):\n    seen.append(x)\n    return seen\n",
        "from solution import rows, keep\ndef test_a():\n    assert list(rows(2)) == [[1, 1], [1, 1]]\n    a = keep(1)\n    b = keep(2)\n    assert a is b and a == [1, 2]\n",
    ),
    "its own file and source": (
        "import os, inspect\nHERE = os.path.basename(__file__)\ndef f(): return HERE, 'def f' in inspect.getsource(f)\n",
        "from solution import f\ndef test_a():\n    assert f() == ('solution.py', True)\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PYTEST)
def test_pytest_tests_see(what, with_client):
    code, test = PYTEST[what]
    report = with_client(lambda client: grade(code, PytestTests(test=test, timeout_s=5), client))
    assert report.outcome == "passed", report.explain()


def call(entry, *cases, class_name=None):
    tests = tuple(FunctionCase(args=tuple(args), expected=expected) for args, expected in cases)
    return FunctionTests(entry_point=entry, class_name=class_name, tests=tests, timeout_s=5)


WRONG = {
    "what is written by descriptors and other programs": "import os, sys\ndef f():\n    print('one')\n    os.write(1, b'two\\n')\n    print('four')\n    os.write(2, b'err\\n')\n",
    "a view of bytes": "def f(b): return memoryview(b)\ndef g(v): return type(v).__name__, v.tolist()\n",
}


@pytest.mark.parametrize("what", WRONG)
def test_another_answer_does_not_pass(what, with_pair_client):
    tests = PytestTests(test=PYTEST[what][1], timeout_s=5)
    report = with_pair_client(lambda client: grade(WRONG[what], tests, client))
    assert report.outcome == "failed", report.explain()


FUNCTIONS = {
    "names that nobody imported, in a class": (
        "class Solution:\n    def f(self, xs: List[int]) -> int:\n        out = []\n        for x in xs: insort(out, x)\n        return [out, sys.maxsize > 1, ascii_lowercase[1], reduce(xor, xs), comb(4, 2), Counter(xs)[1], deepcopy(xs), inf > 1]\n",
        call("f", ([[3, 1]], [[1, 3], True, "b", 2, 6, 1, [3, 1], True]), class_name="Solution")),
    "names that nobody imported, in a function": ("def f(n): return math.gcd(n, 6) + gcd(n, 4) + len(list(permutations([1, 2])))", call("f", ([4], 8))),
    "a name of its own before an imported one": ("def gcd(a, b): return 7\ndef f(n): return gcd(n, 4)", call("f", ([4], 7))),
    "deep recursion": ("def f(n): return 0 if n == 0 else 1 + f(n - 1)", call("f", ([6000], 6000))),
    "deep recursion with a cache": ("@lru_cache(None)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)", call("f", ([1800], 1800))),
    "a class for a function": ("class Solution:\n    def f(self, n): return n + 1", call("f", ([1], 2))),
    "a coroutine function": ("import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n + 1", call("f", ([1], 2))),
    "a function for a class": ("def f(n): return n + 1", call("f", ([1], 2), class_name="Solution")),
    "integer keys": ("def f(d): return sum(d) + d[10]", call("f", ([{"3": 1, "10": 2}], 15))),
    "keys that are no integers": ("def f(d): return ''.join(d)", call("f", ([{"3": 1, "x": 2}], "3x"), ([{"03": 1}], "03"))),
    "numbers that are equal": ("from fractions import Fraction\nfrom decimal import Decimal\ndef f(n): return [Fraction(n, 2), Decimal(n) / 4]", call("f", ([1], [0.5, 0.25]))),
    "a number of many digits": ("def f(n): return 10 ** n", call("f", ([5000], 10**5000))),
}  # fmt: skip


@pytest.mark.parametrize("what", FUNCTIONS)
def test_calls_have(what, with_client):
    code, tests = FUNCTIONS[what]
    report = with_client(lambda client: grade(code, tests, client))
    assert report.outcome == "passed", report.explain()


def test_assert_tests_may_change_what_an_object_holds(with_client):
    code = (
        "class Bag:\n    def __init__(self): self.items = []\n    def total(self): return sum(self.items)\n"
    )
    tests = AssertTests(tests=("b = Bag()\nb.items.append(3)\nassert b.total() == 3",), timeout_s=5)
    assert with_client(lambda client: grade(code, tests, client)).outcome == "passed"


def test_what_the_set_up_imports_is_there_for_the_solution(with_client):
    tests = AssertTests(tests=("assert f(4) == 2",), setup="import math", timeout_s=5)
    assert (
        with_client(lambda client: grade("def f(n): return math.isqrt(n)", tests, client)).outcome == "passed"
    )


def test_a_lone_surrogate_in_an_exception_is_words_for_anybody(with_client):
    tests = AssertTests(tests=("assert f(1) == 1",), timeout_s=5)
    report = with_client(lambda client: grade("def f(n): raise ValueError('\\ud800')", tests, client))
    assert (
        report.outcome == "error"
        and report.explain().encode()
        and json.dumps(report.to_dict(), ensure_ascii=False).encode()
    )


@pytest.mark.parametrize("code", ["# nothing", "pass", "'''Words.'''", "# a\npass\n...", "\ufeff"])
def test_code_that_does_nothing_is_no_answer(code, with_pair_client):
    tests = AssertTests(tests=("assert f(1) == 1",))
    assert with_pair_client(lambda client: grade(code, tests, client)).outcome == "no_code"


def test_a_byte_order_mark_before_the_code_is_no_error(with_pair_client):
    tests = AssertTests(tests=("assert f(1) == 1",))
    assert (
        with_pair_client(lambda client: grade("\ufeffdef f(n): return n", tests, client)).outcome == "passed"
    )


def test_an_exit_or_a_hang_costs_its_own_test_only(with_client):
    code = "import sys, time\nseen = []\ndef f(x):\n    seen.append([x])\n    if x == 2: sys.exit(0)\n    if x in (3, 4): time.sleep(60)\n    return seen[-1]\n"
    tests = AssertTests(tests=tuple(f"x = [{n}]\nassert f(x[0]) == x" for n in range(1, 7)), timeout_s=1.0)
    report = with_client(lambda client: grade(code, tests, client))
    assert [test.status for test in report.tests] == [
        "passed",
        "error",
        "timeout",
        "timeout",
        "passed",
        "passed",
    ], report.explain()

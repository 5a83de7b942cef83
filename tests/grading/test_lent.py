"""What the tests lend a solution (iterators, mocks, callables, their input) works as in one program, and opens nothing."""

# ruff: noqa: E501 - tables of programs

from types import MethodType
from typing import Any
from unittest.mock import Mock, PropertyMock

import pytest

from verl_coder.grading import grade
from verl_coder.grading.programs.lent import has_attribute
from verl_coder.problems import AssertTests, PytestTests

PYTEST = {
    "iterators": (
        "def take(items, n): return [x for _, x in zip(range(n), items)]\n",
        "import itertools\nfrom solution import take\ndef squares():\n    n = 0\n    while True:\n        yield n * n\n        n += 1\n"
        "def test_a():\n    assert take(squares(), 3) == [0, 1, 4]\ndef test_b():\n    assert take(map(str, [1, 2]), 5) == ['1', '2'] and take(enumerate('ab'), 1) == [(0, 'a')]\n"
        "def test_c():\n    it = iter([1, 2, 3])\n    assert take(it, 1) == [1] and list(it) == [2, 3]\ndef test_d():\n    assert take(itertools.count(5), 2) == [5, 6]\n",
    ),
    "an iterator that comes back": (
        "def same(it): return it\n",
        "from solution import same\ndef test_a():\n    it = iter('ab')\n    assert same(it) is it and list(same(it)) == ['a', 'b']\n",
    ),
    "mocks": (
        "def notify(send, names):\n    for name in names:\n        send('hello', to=name)\n    return len(names)\n",
        "from unittest.mock import Mock, call\nfrom solution import notify\ndef test_a():\n    send = Mock(return_value=None)\n    assert notify(send, ['x', 'y']) == 2\n"
        "    assert send.call_args_list == [call('hello', to='x'), call('hello', to='y')]\n",
    ),
    "a callable object of the tests": (
        "def apply(f, xs): return [f(x) for x in xs]\n",
        "import functools, operator\nfrom solution import apply\nclass Add:\n    def __init__(self, n): self.n = n\n    def __call__(self, x): return x + self.n\n"
        "def test_a():\n    assert apply(Add(3), [1, 2]) == [4, 5] and apply(functools.partial(pow, 2), [3]) == [8] and apply(operator.itemgetter(1), ['ab']) == ['b']\n",
    ),
    "input by monkeypatch": (
        "def ask(): return int(input('n? ')) + int(input())\n",
        "from solution import ask\ndef test_a(monkeypatch):\n    given = iter(['4', '5'])\n    monkeypatch.setattr('builtins.input', lambda *words: next(given))\n    assert ask() == 9\n",
    ),
    "input by patch": (
        "def ask(): return [input() for _ in range(2)]\n",
        "from unittest.mock import patch\nfrom solution import ask\n@patch('builtins.input', side_effect=['a', 'b'])\ndef test_a(fake):\n    assert ask() == ['a', 'b'] and fake.call_count == 2\n",
    ),
    "the standard input": (
        "import sys\ndef total(): return sum(map(int, sys.stdin.readline().split())) + sum(int(line) for line in sys.stdin)\n",
        "import io\nfrom solution import total\ndef test_a(monkeypatch):\n    monkeypatch.setattr('sys.stdin', io.StringIO('1 2\\n3\\n4'))\n    assert total() == 10\n",
    ),
    "names of the solution that are replaced": (
        "RATE = 2\ndef now(): return 1\ndef price(n): return n * RATE + now()\n",
        "from unittest.mock import patch\nimport solution\ndef test_a(monkeypatch):\n    monkeypatch.setattr(solution, 'RATE', 5)\n    assert solution.price(2) == 11\n"
        "def test_b():\n    with patch('solution.now', return_value=40):\n        assert solution.price(1) == 42\n    assert solution.price(1) == 3 and solution.RATE == 2\n",
    ),
    "dataclasses": (
        "from dataclasses import dataclass, field\n@dataclass\nclass Part:\n    name: str\n    size: int = 1\n    tags: list = field(default_factory=list)\ndef bigger(p): return Part(p.name, p.size + 1)\n",
        "import dataclasses\nfrom dataclasses import asdict, fields, is_dataclass, replace\nfrom solution import Part, bigger\n"
        "def test_a():\n    assert asdict(Part('x')) == {'name': 'x', 'size': 1, 'tags': []} and is_dataclass(Part) and not is_dataclass(3)\n"
        "def test_b():\n    assert [f.name for f in fields(Part)] == ['name', 'size', 'tags'] and replace(Part('x'), size=4) == Part('x', 4)\n"
        "def test_c():\n    assert dataclasses.astuple(bigger(Part('x'))) == ('x', 2, [])\n"
        "def test_d():\n    @dataclasses.dataclass\n    class Own:\n        n: int\n    assert asdict(Own(1)) == {'n': 1}\n",
    ),
    "inspect": (
        "def count(n): yield n\nasync def wait(): return 1\nclass Thing: pass\n",
        "import inspect\nfrom solution import Thing, count, wait\ndef test_a():\n    assert inspect.isgeneratorfunction(count) and inspect.iscoroutinefunction(wait) and inspect.isclass(Thing)\n"
        "    assert inspect.isfunction(wait) and not inspect.isgeneratorfunction(wait) and inspect.isfunction(test_a)\n",
    ),
}

ASSERTS = {
    "what is printed": (
        "import sys\ndef hello(n):\n    print('hello', n)\n    print('bad', file=sys.stderr)\n",
        "import contextlib, io\nout, err = io.StringIO(), io.StringIO()\nwith contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):\n    hello(3)\nassert (out.getvalue(), err.getvalue()) == ('hello 3\\n', 'bad\\n')",
    ),
    "warnings": (
        "import warnings\ndef old(): warnings.warn('gone', FutureWarning)\n",
        "import warnings\nwith warnings.catch_warnings(record=True) as seen:\n    warnings.simplefilter('always')\n    old()\nassert [w.category for w in seen] == [FutureWarning]",
    ),
    "a list under its global name": ("seen = []\ndef note(x): seen.append(x)\n", "note(1)\nnote(2)\nassert seen == [1, 2]"),
    "the same list twice": ("def grow(x, into=[]):\n    into.append(x)\n    return into\n", "first = grow(1)\nassert grow(2) is first and first == [1, 2]"),
    "a decorator on a function of the tests": ("def twice(f):\n    return lambda *a: 2 * f(*a)\n", "@twice\ndef three(): return 3\nassert three() == 6"),
    "a class of the tests": ("def call(f): return f(2)\n", "class Triple:\n    def __call__(self, n): return 3 * n\nassert call(Triple()) == 6"),
    "a number under its global name": ("total = 5\ndef bump():\n    global total\n    total += 1\n", "bump()\nassert total == 6 and (lambda: total)() == 6"),
    "the names and classes of a class": ("class A: pass\nclass B(A):\n    def m(self): pass\n", "assert B.__mro__ == (B, A, object) and 'm' in dir(B) and 'm' in dir(B())"),
    "a partial": ("from functools import partial\nless = partial(max, 3)\n", "assert less(2) == 3 and less.args == (3,)"),
    "values of the library": (
        "import array, ipaddress, uuid\ndef f(): return uuid.UUID(int=7), array.array('d', [1.5]), ipaddress.ip_address('::1')\n",
        "import array, ipaddress, uuid\nassert f() == (uuid.UUID(int=7), array.array('d', [1.5]), ipaddress.ip_address('::1'))\nassert isinstance(f()[0], uuid.UUID) and {f()[0]: 1}[uuid.UUID(int=7)] == 1",
    ),
    "the standard input": ("def f(): return input() + input()\n", "import io, sys\nsys.stdin = io.StringIO('a\\nb\\n')\nassert f() == 'ab'"),
}  # fmt: skip


def suites():
    for what, (code, test) in PYTEST.items():
        yield pytest.param(code, PytestTests(test=test), id=what)
    for what, (code, test) in ASSERTS.items():
        yield pytest.param(code, AssertTests(tests=(test,)), id=f"assert: {what}")


@pytest.mark.parametrize(("code", "suite"), list(suites()))
def test_it_is_as_in_one_program(code, suite, with_client):
    names: dict = {}
    if isinstance(suite, AssertTests):
        import sys

        before = sys.stdin
        exec(code, names)
        exec(suite.tests[0], names)
        sys.stdin = before
    report = with_client(lambda client: grade(code, suite, client))
    assert report.outcome == "passed", report.explain()


WRONG = {
    "an iterator drained too far": ("def take(items, n): return list(items)[:n]\n", "it = iter([1, 2, 3])\nassert take(it, 1) == [1] and list(it) == [2, 3]"),
    "a mock called with something else": ("def notify(send): send('bye')\n", "from unittest.mock import Mock\nsend = Mock(return_value=None)\nnotify(send)\nsend.assert_called_once_with('hello')"),
    "other lines read": ("def f():\n    input()\n    return input()\n", "import io, sys\nsys.stdin = io.StringIO('a\\nb\\n')\nassert f() == 'a'"),
    "no dataclass": ("class P:\n    def __init__(self, x): self.x = x\n", "from dataclasses import asdict\nassert asdict(P(1)) == {'x': 1}"),
    "no generator function": ("def count(n): return iter([n])\n", "import inspect\nassert inspect.isgeneratorfunction(count)"),
    "an equal UUID of its own": ("class U:\n    def __eq__(self, other): return True\n    def __hash__(self): return 1\ndef f(): return U()\n", "import uuid\nassert f() == uuid.UUID(int=1)"),
}  # fmt: skip
REACHES_BACK = """
import gc
def worker():
    return next(x for x in gc.get_objects() if type(x).__name__ == "Worker")
"""
ATTACKS = {
    # The tests have replaced neither: what the judge was started with is not to be read.
    "the judge's own input": (f"{REACHES_BACK}\ndef f(x):\n    try:\n        return len(worker()._call_back(0, (), {{}}))\n    except EOFError:\n        return len(worker()._call_back(1, ('read', -1), {{}}))\n", "assert f(1) > 0"),
    "another method of the input": (f"{REACHES_BACK}\ndef f(x): return worker()._call_back(1, ('close', -1), {{}})\n", "import io, sys\nsys.stdin = io.StringIO('2')\nassert f(1) == '2'"),
    "a number that was never lent": (f"{REACHES_BACK}\ndef f(x): return worker()._call_back(99, (2,), {{}})\n", "assert f(1) == 2"),
    "an array that is none": ("def f(x):\n    class array:\n        __module__ = 'array'\n        typecode = 'd'\n        def tolist(self): return [[1.0]]\n    return array()\n", "import array\nassert f(1) == array.array('d', [1.0])"),
}  # fmt: skip


@pytest.mark.parametrize("what", [*WRONG, *ATTACKS])
def test_what_is_wrong_in_one_program_is_wrong_here(what, with_client):
    code, test = {**WRONG, **ATTACKS}[what]
    report = with_client(lambda client: grade(code, AssertTests(tests=(test,), timeout_s=5), client))
    assert report.outcome in ("failed", "error"), report.explain()


def test_pytest_collects_no_test_of_the_solution(with_client):
    code = "def f(x): return x\nclass TestMore:\n    def test_a(self): pass\ndef test_b(): pass\n"
    test = "import inspect\nfrom solution import TestMore, f, test_b\ndef test_a(x=1):\n    assert f(1) == 1\nclass TestOwn:\n    def test_own(self): assert f(2) == 2\n"
    report = with_client(lambda client: grade(code, PytestTests(test=test), client))
    assert report.total == 2, report.explain()


def test_what_a_class_makes_is_compared_as_an_object(with_client):
    code = "class Mark:\n    def __init__(self, v): self.v = v\n    def __eq__(self, o): return self.v == (o.v if isinstance(o, Mark) else o)\n"
    suite = AssertTests(tests=("assert Mark(2) == 2", "assert Mark(2) == Mark(2)"), classes=("Mark",))
    assert with_client(lambda client: grade(code, suite, client)).outcome == "passed"
    wrong = with_client(lambda client: grade(code.replace("self.v == (", "self.v + 1 == ("), suite, client))
    assert wrong.passed == 0


GET = "def f(o): return o.get(1)\n"
ATTRIBUTES = {
    "a mock's": (GET, "from unittest.mock import MagicMock\nm = MagicMock()\nm.get.return_value = 3\nassert f(m) == 3"),
    "a function's": (GET, "def g(): pass\ng.get = abs\nassert f(g) == 1"),
    "a callable's": (GET, "class G:\n    def __call__(self): pass\n    def get(self, n): return n\nassert f(G()) == 1"),
    "a generator's": ("def f(g):\n    next(g)\n    return g.send(3)\n", "def g():\n    yield (yield 1)\nassert f(g()) == 3"),
    "a mock's, whatever the solution makes of it": ("def f(o):\n    try: return o.get(1)\n    except BaseException: return 3\n", "from unittest.mock import Mock\nassert f(Mock()) == 3"),
}  # fmt: skip


@pytest.mark.parametrize("what", ATTRIBUTES)
def test_an_attribute_of_what_was_lent_cannot_be_split_and_the_report_says_so(what, with_client):
    code, test = ATTRIBUTES[what]
    report = with_client(lambda client: grade(code, AssertTests(tests=(test,)), client))
    assert (report.outcome, report.unsplittable) == ("error", 1)
    assert (
        "of the tests cannot be reached by the solution" in report.message and "Judge" not in report.message
    )


@pytest.mark.parametrize(
    ("code", "test"),
    [
        ("def f(o): return getattr(o, 'x', 2)\n", "assert f(lambda: 1) == 2"),
        (
            "def f(o): return hasattr(o, 'get')\n",
            "from unittest.mock import Mock\nassert not f(Mock(spec=len))",
        ),
        (
            "import copy\ndef f(o): return copy.copy(o)() + copy.deepcopy([o])[0]()\n",
            "assert f(lambda: 1) == 2",
        ),
        ("def f(o):\n    o.calls = 1\n    return o.calls\n", "assert f(lambda: 1) == 1"),
    ],
)
def test_an_attribute_that_what_was_lent_has_nowhere_is_as_in_one_program(code, test, with_client):
    report = with_client(lambda client: grade(code, AssertTests(tests=(test,)), client))
    assert report.outcome == "passed", report.explain()


FLAT = (
    "def flat(xs):\n    yield from xs\ndef first(xs):\n    for x in flat(xs):\n        break\n    return x\n"
)


@pytest.mark.parametrize("given", ["(n for n in [1, 2, 3])", "iter([1, 2, 3])"])
@pytest.mark.parametrize(
    "code",
    [
        f"{FLAT}f = first\n",
        f"{FLAT}def f(xs): return next(flat(xs))\n",
        f"{FLAT}def f(xs):\n    g = flat(xs)\n    found = next(g)\n    g.close()\n    return found\n",
        "def f(xs): return [x for x, _ in zip(xs, 'a')][0]\n",
    ],
)
def test_an_iterator_of_the_tests_may_be_left_early(code, given, with_client):
    report = with_client(lambda client: grade(code, AssertTests(tests=(f"assert f({given}) == 1",)), client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize(("given", "rest"), [("(n for n in [1, 2])", []), ("iter([1, 2])", [2])])
def test_a_generator_that_was_left_early_is_closed_for_the_solution_and_an_iterator_goes_on(
    given, rest, with_client
):
    code = f"{FLAT}def f(xs): return first(xs), list(xs)\n"
    suite = AssertTests(tests=(f"assert f({given}) == (1, {rest})",))
    names: dict = {}
    exec(code, names)
    exec(suite.tests[0], names)
    report = with_client(lambda client: grade(code, suite, client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize(
    ("name", "lent"),
    [
        ("cache_clear", "functools.lru_cache(abs)"),
        ("cache_info", "functools.cache(abs)"),
        ("func", "functools.partial(abs)"),
    ],
)
def test_a_wrapper_of_the_library_may_be_asked_for_what_it_can_do_without(name, lent, with_client):
    code = f"def f(o):\n    if hasattr(o, {name!r}): getattr(o, {name!r})\n    return o(-2)\n"
    suite = AssertTests(tests=(f"import functools\nassert f({lent}) == 2",))
    report = with_client(lambda client: grade(code, suite, client))
    assert report.outcome == "passed", report.explain()


class _Loud:
    """What a test may lend: any code of it that runs is an error."""

    def __call__(self):
        raise AssertionError

    @property
    def size(self):
        raise AssertionError

    def __getattribute__(self, name):
        raise AssertionError(name)


class _Makes:
    def __call__(self):
        raise AssertionError

    def __getattr__(self, name):
        raise AssertionError(name)


class _Silent:
    __slots__ = ("kept",)

    def __call__(self):
        raise AssertionError


def test_nothing_of_the_tests_runs_where_the_judge_looks_for_an_attribute():
    mock = Mock()
    kind: Any = type(mock)
    kind.size = seen = PropertyMock()
    assert has_attribute(mock, "size") and not seen.called
    assert has_attribute(_Loud(), "size") and has_attribute(_Loud(), "made")
    assert has_attribute(_Silent(), "kept") and not has_attribute(_Silent(), "made")


def test_what_makes_its_attributes_has_them_all_but_for_a_mock_of_a_spec_and_what_was_deleted():
    mock, like_len = Mock(), Mock(spec=len)
    del mock.gone
    assert has_attribute(_Makes(), "made") and has_attribute(mock, "made")
    assert not has_attribute(mock, "gone") and not has_attribute(like_len, "made")
    assert "made" not in mock._mock_children


def test_a_method_has_what_its_function_has():
    def plain(self):
        pass

    plain.note = 1
    method = MethodType(plain, 1)
    assert has_attribute(method, "note") and not has_attribute(method, "other")

"""What tests pass and get back keeps its type: methods of builtins, types, NumPy's scalars, named tuples of the tests."""

# ruff: noqa: E501 - tables of programs

import numpy as np
import pytest

from verl_coder.grading import grade
from verl_coder.grading.programs.decode import Decoder
from verl_coder.grading.programs.encode import Encoder
from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.lent import LentTuples
from verl_coder.grading.programs.wire import may_name
from verl_coder.problems import AssertTests

APPLY = "def f(g, xs): return [g(x) for x in xs]\n"
IS_A = "def is_a(x, t): return isinstance(x, t)\n"
SAME = "def same(x): return x\n"
MEAN = "import numpy as np\ndef avg(a): return np.mean(a)\ndef top(a): return np.max(a)\ndef has(a): return np.any(a)\ndef all_of(a): return list(np.array(a))\n"
POINT = "from collections import namedtuple\nP = namedtuple('P', 'x y')\n"
SUM = "def f(p): return p.x + p.y\ndef moved(p): return p._replace(x=p.x + 1)\ndef same(p): return p\ndef by_age(ps): return sorted(ps, key=lambda p: p.age)\n"

HONEST = {
    "methods of strings": (
        APPLY,
        "assert f(str.upper, ['a']) == ['A'] and f(str.isdigit, ['1', 'a']) == [True, False]",
    ),
    "methods of numbers": (
        "def red(g, xs, x):\n    for y in xs: x = g(x, y)\n    return x\n",
        "assert red(int.__add__, [1, 2], 0) == 3",
    ),
    "a method as a keyword": (
        "def k(xs, key): return sorted(xs, key=key)\n",
        "assert k(['B', 'a'], key=str.lower) == ['a', 'B']",
    ),
    "a method of a date": (
        APPLY,
        "from datetime import date\nassert f(date.isoformat, [date(2020, 1, 2)]) == ['2020-01-02']",
    ),
    "types of the library": (
        IS_A,
        "import numbers\nfrom collections.abc import Iterable, Mapping\nfrom datetime import date\nfrom decimal import Decimal\n"
        "assert is_a(date(2020, 1, 1), date) and is_a(Decimal(1), Decimal) and is_a(None, type(None)) and is_a([], Iterable)\n"
        "assert is_a(1, numbers.Number) and not is_a(1, Mapping) and not is_a('', (date, numbers.Number))",
    ),
    "a type that makes": (
        "def mk(t, *a): return t(*a)\n",
        "import collections\nassert mk(collections.Counter, 'aab') == {'a': 2, 'b': 1} and mk(collections.Counter)['x'] == 0",
    ),
    "types that come back": (
        SAME + "from decimal import Decimal\ndef kind(): return Decimal\n",
        "from decimal import Decimal\nassert same(Decimal) is Decimal and kind() is Decimal and kind()('1') == 1 and same(type(None)) is type(None)",
    ),
    "types as keys": (
        "def names(): return {int: 'int', str: 'str'}\n",
        "assert names() == {int: 'int', str: 'str'}",
    ),
    "NumPy's types": (
        "import numpy as np\ndef f(a, t): return np.array(a, dtype=t)\n",
        "import numpy as np\nassert f([1], np.float32).dtype == np.float32",
    ),
    "the type of a NumPy scalar": (
        MEAN,
        "import numpy as np\nassert isinstance(avg([1, 2]), np.floating) and type(avg([1, 2])) is np.float64 and isinstance(top([1]), np.integer)\n"
        "assert avg([1, 2]).dtype == 'float64' and avg([1, 2]).item() == 1.5 and repr(avg([2, 3])) == 'np.float64(2.5)'\nassert str(all_of([2])) == '[np.int64(2)]' and isinstance(all_of([2])[0], np.int64)",
    ),
    "NumPy scalars as numbers": (
        MEAN,
        "assert avg([1, 2]) == 1.5 and top([1, 2]) == 2 and has([1]) and isinstance(avg([1]), float) and not isinstance(top([1]), int) and {top([3]): 1} == {3: 1}",
    ),
    "NumPy scalars of the tests": (
        "def kind(x): return type(x).__name__\n",
        "import numpy as np\nassert kind(np.float32(1)) == 'float32' and kind(np.bool_(True)) in ('bool', 'bool_')",
    ),
    "NumPy scalars as keys": (
        "import numpy as np\ndef count(a): return dict(zip(*np.unique(a, return_counts=True)))\n",
        "assert count([1, 1, 2]) == {1: 2, 2: 1}",
    ),
    "a single-precision result": (
        "import numpy as np\ndef f(): return np.float32(0.1)\n",
        "assert f() == 0.1",
    ),
    "an array of no dimension": (
        "import numpy as np\ndef f(): return np.array(3)\nbase = np.array(4)\n",
        "assert f() == 3 and f().shape == () and base + 1 == 5",
    ),
    "a NumPy scalar that is rebound": (
        "import numpy as np\ntotal = np.int64(0)\ndef add(n):\n    global total\n    total = total + n\n",
        "add(3)\nassert total == 3\nadd(4)\nassert total == 7",
    ),
    "a named tuple of the tests": (
        SUM,
        POINT + "assert f(P(1, 2)) == 3 and moved(P(1, 2)) == P(2, 2) and moved(P(1, 2)).x == 2",
    ),
    "a typed named tuple": (
        SUM,
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 4\nassert f(P(1)) == 5 and isinstance(same(P(1)), P) and repr(same(P(1))) == 'P(x=1, y=4)'",
    ),
    "a list of named tuples": (
        SUM,
        "from collections import namedtuple\nQ = namedtuple('Q', 'name age')\nassert [q.name for q in by_age([Q('a', 2), Q('b', 1)])] == ['b', 'a']",
    ),
    "a named tuple as a key": (SAME, POINT + "assert same({P(1, 2): 'a'}) == {P(1, 2): 'a'}"),
    "a named tuple of the solution": (
        "from collections import namedtuple\nR = namedtuple('R', 'low high')\ndef f(a): return R(min(a), max(a))\n",
        "assert f([3, 1]) == (1, 3) and f([3, 1]).high == 3 and f([1])._fields == ('low', 'high')",
    ),
    "nothing that is a number": (
        "import math\ndef f(x): return [math.nan, x]\ndef same(x): return x\n",
        "import math\nassert f(2.5) == [math.nan, 2.5] and math.isnan(f(1)[0]) and same([math.nan]) == [math.nan]",
    ),
    "a namespace": (
        "from types import SimpleNamespace\ndef f(): return SimpleNamespace(a=1, b=[2])\ndef grow(n):\n    n.size = n.size + 1\n    n.seen = True\n",
        "from types import SimpleNamespace\nassert f() == SimpleNamespace(a=1, b=[2]) and f().a == 1\nn = SimpleNamespace(size=1)\ngrow(n)\nassert n.size == 2 and n.seen and n == SimpleNamespace(size=2, seen=True)",
    ),
    "a view of a dictionary": (
        "from types import MappingProxyType\ndef f(): return MappingProxyType({'a': 1})\n",
        "from types import MappingProxyType\nassert f() == {'a': 1} and type(f()) is MappingProxyType and f()['a'] == 1",
    ),
    "time zones": (
        "from datetime import datetime, timezone\nfrom zoneinfo import ZoneInfo\ndef at(d, zone): return d.replace(tzinfo=zone)\ndef home(): return ZoneInfo('Europe/Berlin')\ndef utc(): return timezone.utc\n",
        "from datetime import datetime, timedelta, timezone\nfrom zoneinfo import ZoneInfo\nd = datetime(2020, 7, 1)\nassert at(d, ZoneInfo('America/New_York')) == datetime(2020, 7, 1, tzinfo=ZoneInfo('America/New_York'))\n"
        "assert str(at(d, ZoneInfo('America/New_York')).tzinfo) == 'America/New_York' and home() is ZoneInfo('Europe/Berlin') and utc() is timezone.utc\nassert at(d, timezone(timedelta(hours=2))).utcoffset() == timedelta(hours=2)",
    ),
    "defaults and annotations": (
        "def f(a: int, b: str = 'x', *, c=None) -> list: pass\nclass C:\n    n: int = 1\n",
        "assert f.__defaults__ == ('x',) and f.__kwdefaults__ == {'c': None} and f.__annotations__ == {'a': int, 'b': str, 'return': list}\nassert C.__annotations__ == {'n': int}",
    ),
    "a time": (SAME, "import time\nassert same(time.gmtime(0)).tm_year == 1970"),
}
WRONG = {
    "another method": (APPLY.replace("g(x)", "x"), HONEST["methods of strings"][1]),
    "another type": (IS_A.replace("isinstance(x, t)", "True"), HONEST["types of the library"][1]),
    "a truth of NumPy is none of Python's": (MEAN, "assert has([1]) is True"),
    "a number of NumPy is none of Python's": (MEAN, "assert isinstance(top([1]), int)"),
    "a NumPy scalar beside a wrong number": (MEAN, "assert avg([1, 2]) == 1.25"),
    "a NumPy scalar for nothing": (MEAN, "assert avg([1, 2]) == []"),
    "a NumPy scalar beside an empty array": (MEAN, "import numpy as np\nassert (avg([1, 2]) == np.array([])).all()"),
    "a named tuple with other data": (SUM.replace("p.x + 1", "p.x"), HONEST["a named tuple of the tests"][1]),
    "another not-a-number": ("def f(): return [float('nan')]\n", "import math\nassert f() == [math.nan]"),
    "a namespace with other data": ("from types import SimpleNamespace\ndef f(): return SimpleNamespace(a=2)\n", "from types import SimpleNamespace\nassert f() == SimpleNamespace(a=1)"),
    "a namespace that equals all": ("from types import SimpleNamespace\nclass N(SimpleNamespace):\n    def __eq__(self, o): return True\ndef f(): return N(a=2)\n", "from types import SimpleNamespace\nassert f() == SimpleNamespace(a=1)"),
    "another time zone": ("from zoneinfo import ZoneInfo\ndef f(d): return d.replace(tzinfo=ZoneInfo('Europe/Berlin'))\n", "from datetime import datetime\nfrom zoneinfo import ZoneInfo\nassert f(datetime(2020, 1, 1)) == datetime(2020, 1, 1, tzinfo=ZoneInfo('Asia/Tokyo'))"),
    "other defaults": ("def f(a, b=2): pass\n", "assert f.__defaults__ == (3,)"),
    # A library would run the text of an annotation.
    "annotations for a library": ("def f(a: '__import__(\"os\").abort()'): pass\n", "import typing\nassert typing.get_type_hints(f)"),
    "a plain tuple for a named one": (SUM.replace("return p\n", "return tuple(p)\n"), HONEST["a typed named tuple"][1]),
    # The solution's own class of that name is not the tests'.
    "a tuple of a class that looks like theirs": ("from collections import namedtuple\nclass P(namedtuple('P', 'x y')):\n    def __eq__(self, other): return True\n    def __hash__(self): return 1\ndef g(): return P(1, 2)\n", "from collections import namedtuple\nQ = namedtuple('Q', 'x y')\nassert g() == Q(3, 4)"),
    "a type whose check says yes": ("class Meta(type):\n    def __instancecheck__(self, x): return True\nclass Decimal(metaclass=Meta): __module__ = 'decimal'\ndef kind(): return Decimal\n", "import decimal\nassert kind() is decimal.Decimal"),
}  # fmt: skip


def _passes(run, code, tests, **fields):
    suite = AssertTests(tests=(tests,), **fields)
    return run(lambda client: grade(code, suite, client)).outcome == "passed"


@pytest.mark.parametrize("name", HONEST)
def test_what_is_passed_along_keeps_its_type(name, with_pair_client):
    assert _passes(with_pair_client, *HONEST[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_of_such_types_fail(name, with_pair_client):
    assert not _passes(with_pair_client, *WRONG[name])


def _decode(message, **options):
    def refuse(*payload):
        raise WireError("a handle")

    return Decoder({}, refuse, **options).decode(message)


@pytest.mark.parametrize(
    "home, name",
    [
        ("numpy", "fromfile"),
        ("types", "FunctionType"),
        ("types", "CodeType"),
        ("typing", "ForwardRef"),
        ("enum", "Enum"),
        ("pathlib", "Path"),
        ("collections", "namedtuple"),
        ("builtins", "str.format"),
        ("decimal", "Decimal.from_float"),
        ("os", "system"),
    ],
)
def test_the_judge_takes_no_other_name(home, name):
    assert not may_name(home, name)
    with pytest.raises(WireError):
        _decode({"N": [home, name]})


@pytest.mark.parametrize(
    "payload",
    [
        ["<f8", 1],
        ["<f8", [1.0]],
        ["|O", 1],
        ["<i8", True],
        ["|V8", 1],
        ["<i1", 300.0],
        ["<M8[D]", 1],
        [8, 1.0],
        ["<f8", {"h": ["mine"]}],
        ["<f8"],
    ],
)
def test_a_malformed_scalar_is_refused(payload):
    with pytest.raises(WireError):
        _decode({"ns": payload})


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5),
        np.float32(0.1),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.complex128(1 + 2j),
        np.str_("añ"),
        np.float64("inf"),
    ],
)
def test_a_scalar_keeps_its_type_and_value(value):
    found = _decode(Encoder({}, lambda *_: None).encode(value))
    assert type(found) is type(value) and found == value


@pytest.mark.parametrize(
    "message",
    [
        {"sn": [["__class__", 1]]},
        {"sn": [["a b", 1]]},
        {"sn": [[1, 1]]},
        {"sn": 3},
        {"mp": [[[], 1]]},
        {"n": ["ZoneInfo", "../etc/passwd"]},
        {"n": ["ZoneInfo", "/etc/passwd"]},
        {"n": ["ZoneInfo", "A/../../x"]},
        {"n": ["ZoneInfo", ["UTC"]]},
        {"n": ["zoned", ["2020-01-01T00:00:00", 2, "UTC"]]},
        {"n": ["zoned", ["2020-01-01T00:00:00", 0]]},
        {"n": ["zoned", [1, 0, "UTC"]]},
        {"n": ["timezone", [5, 0, 0]]},
        {"n": ["struct_time", [1, 2]]},
    ],
)
def test_malformed_values_of_the_library_are_refused(message):
    with pytest.raises(WireError):
        _decode(message)


def test_numpy_keys_that_collide_are_counted():
    keys = [{"ns": ["<i8", (1 << 61) - 1 + number]} for number in range(1100)]
    with pytest.raises(WireError, match="more than"):
        _decode({"s": keys})
    assert len(_decode({"s": [{"ns": ["<i8", number]} for number in range(1100)]})) == 1100


def test_a_named_tuple_comes_back_only_of_a_class_that_was_passed():
    from collections import namedtuple

    class Greedy(namedtuple("Greedy", "x")):
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

    lent, point = LentTuples(), namedtuple("P", "x y")
    assert lent.written((1, 2), list) is None and lent.written(Greedy(1), list) is None
    assert lent.written(point(1, 2), lambda item: item) == {"nt": [[0, "P", ["x", "y"]], [1, 2]]}
    assert _decode({"nt": [0, [3, 4]]}, resolve_tuple=lent.made) == point(3, 4)
    for payload in ([1, [3, 4]], [-1, [3, 4]], [True, [3, 4]], [0, [3]], [[0, "P", ["x"]], [3]]):
        with pytest.raises(WireError):
            _decode({"nt": payload}, resolve_tuple=lent.made)

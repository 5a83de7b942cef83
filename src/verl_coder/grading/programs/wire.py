"""What both sides know of the format: tags, types that travel, modules that both may name.

A message's values are JSON. A scalar is itself and a list is a list; anything else is an object of one entry, `{tag:
payload}`. Mutable containers and helper objects (ListNode) are numbered as they are first met (heap.py): a second
mention is `{"#": number}`, a helper object always `{"o": number}`. `{"g": [value, rows, updates]}` is a message with
helper objects, whose rows are [number, class, attributes], or with [number, value] of containers that have changed.
"""

import builtins
import importlib
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

SCALARS = frozenset((int, float, str, bool, type(None)))
BIG = 1 << 64
"""Integers beyond it travel as hexadecimal text: parsing their digits would take quadratic time."""
ARRAY_ITEMS: dict[str, tuple[type, ...]] = {
    "b": (bool,), "i": (int,), "u": (int,), "f": (float,), "c": (complex,), "U": (str,)
}  # fmt: skip
"""By NumPy's kind, what an array or a scalar of it is made of."""
CONTAINER_TAGS: dict[type, str] = {
    list: "l", dict: "d", set: "s", bytearray: "B", deque: "dq", Counter: "C", defaultdict: "dd", OrderedDict: "od",
    types.SimpleNamespace: "sn",
}  # fmt: skip
"""The tags of what is numbered, with NumPy's `na`; a list that stands in its place bears none."""
ARRAY_KINDS = r"[<>|=](?:b1|[iu][1248]|f[248]|c8|c16|U[0-9]{1,6})"
NAMED_MODULES = (
    "builtins", "math", "operator", "collections", "collections.abc", "datetime", "decimal", "enum", "fractions",
    "numbers", "numpy", "pathlib", "types", "typing", "uuid",
)  # fmt: skip
"""What the tests may name to the solution; `may_name` says what the judge takes by its name."""
NAMED_BUILTINS = frozenset(
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format "  # noqa: SIM905
    "frozenset hash hex int isinstance issubclass iter len list map max min next object oct ord pow range repr "
    "reversed round set slice sorted str sum tuple zip".split()
)
"""Builtins that may arrive in the judge by name, with exceptions: none that runs text, reads files or sees frames."""
ABILITIES = tuple(
    "iter next len getitem setitem delitem contains call enter exit bool int float index round neg pos abs "  # noqa: SIM905
    "invert reversed divmod rdivmod lt le gt ge add sub mul truediv floordiv mod pow and or xor lshift rshift matmul "
    "radd rsub rmul rtruediv rfloordiv rmod rpow rand ror rxor rlshift rrshift rmatmul iadd isub imul".split()
)
"""What a stand-in of an object can do if the object's type does: the closed list of operations."""
IN_PLACE = frozenset(("iadd", "isub", "imul"))
"""Of them, those that give the object itself as a rule."""
SHARED_MODULES = frozenset(
    "math cmath collections functools itertools heapq bisect typing dataclasses re decimal fractions datetime "  # noqa: SIM905
    "string random statistics copy numbers abc sys time".split()
)
"""Modules that the solution may have imported for the tests; the judge then uses its own copy."""

PURE_LIBRARIES = frozenset("math cmath itertools heapq bisect".split())  # noqa: SIM905
PURE_NAMES = frozenset(
    "collections:Counter collections:deque collections:OrderedDict collections:defaultdict collections:ChainMap "  # noqa: SIM905
    "collections:namedtuple functools:reduce decimal:Decimal fractions:Fraction datetime:date datetime:datetime "
    "datetime:time datetime:timedelta copy:copy copy:deepcopy".split()
)
"""What a name of the solution may stand for in the judge: nothing here evaluates text or hooks into the interpreter."""

_PURE_TYPES = {
    "collections": "ChainMap Counter OrderedDict defaultdict deque",
    "collections.abc": "Callable Collection Container Hashable Iterable Iterator Mapping MutableMapping "
    "MutableSequence MutableSet Reversible Sequence Set Sized",
    "datetime": "date datetime time timedelta",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "numbers": "Complex Integral Number Rational Real",
    "types": "NoneType",
}

_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, lambda v: int.__add__(v, 0)),
    (float, lambda v: float.__add__(v, 0.0)),
    (str, lambda v: str.__str__(v)),
    (tuple, lambda v: tuple(tuple.__iter__(v))),
    (list, lambda v: list(list.__iter__(v))),
    (dict, lambda v: dict(dict.items(v))),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (bytes, lambda v: bytes.__add__(v, b"")),
)


def plain_data(value: Any) -> Any:
    """The builtin value that an instance of a subclass of a builtin holds; None for any other value."""
    for base, plain in _BASES:
        if isinstance(value, base):
            return plain(value)
    return None


def builtin_exception(name: Any) -> type[Exception] | None:
    """The builtin exception of this name."""
    kind = getattr(builtins, name, None) if isinstance(name, str) else None
    return kind if isinstance(kind, type) and issubclass(kind, Exception) else None


EXCEPTION_MODULES = frozenset(
    "asyncio.exceptions binascii concurrent.futures._base configparser csv _csv dataclasses decimal graphlib "  # noqa: SIM905
    "http.client json.decoder queue _queue re shutil socket statistics struct subprocess tarfile tokenize "
    "urllib.error uuid xml.parsers.expat zipfile zlib zoneinfo".split()
)
"""Modules of the standard library whose exceptions tests wait for."""


def library_exception(name: Any) -> type[Exception] | None:
    """The exception of one of EXCEPTION_MODULES that `module:name` names."""
    module, _, called = name.partition(":") if isinstance(name, str) else ("", "", "")
    if module not in EXCEPTION_MODULES or called.startswith("_"):
        return None
    kind = getattr(__import__(module, fromlist=["*"]), called, None)
    return kind if isinstance(kind, type) and issubclass(kind, Exception) else None


def may_name(home: str, name: str) -> bool:
    """Whether the judge takes a function or class by its name."""
    if home == "builtins":
        return name in NAMED_BUILTINS or builtin_exception(name) is not None
    if home in ("math", "operator"):
        return not name.startswith("_") and name not in ("attrgetter", "methodcaller")
    return name in _PURE_TYPES.get(home, "").split()


def global_name(value: Any) -> tuple[str, str] | None:
    """(module, name) of a function, a type or a builtin type's method (`str.upper`); None where it has none."""
    if isinstance(value, (types.MethodDescriptorType, types.WrapperDescriptorType)):
        owner = global_name(value.__objclass__)
        return (owner[0], f"{owner[1]}.{value.__name__}") if owner else None
    home, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if value is types.NoneType:
        home = "types"
    if home not in NAMED_MODULES or not isinstance(name, str):
        return None
    return (home, name) if getattr(importlib.import_module(home), name, None) is value else None


def find_named(home: str, name: str) -> Any:
    """What a global name stands for."""
    found: Any = importlib.import_module(home)
    for part in name.split("."):
        found = getattr(found, part)
    return found

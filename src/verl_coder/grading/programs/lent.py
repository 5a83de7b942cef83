"""In the judge: what of the tests the solution may use while it answers, and how that is used.

The solution can call it with plain data and nothing else: it has no attributes there and is never looked into.
"""

import builtins
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from verl_coder.grading.programs.frames import WireError

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_HOMES = frozenset(("builtins", "itertools"))
_CALLABLE_HOMES = frozenset(("functools", "operator", "unittest.mock"))
_OF_WRAPPERS = frozenset(("cache_clear", "cache_info", "cache_parameters", "func"))
_MAX_FIELDS = 250
TEST_MODULES = frozenset(("tests", "test_solution"))


def is_iterator(value: Any) -> bool:
    """An iterator of the language's own kinds: of a list, a generator, `map`, `itertools.count`."""
    return isinstance(value, Iterator) and type(value).__module__ in _HOMES


def may_be_lent(value: Any) -> bool:
    """Functions, iterators, mocks, and objects of the tests' own classes that can be called."""
    if isinstance(value, _FUNCTIONS) or is_iterator(value):
        return True
    home = type(value).__module__
    return not isinstance(value, type) and callable(value) and home in _CALLABLE_HOMES | TEST_MODULES


class LentTuples:
    """Classes of the tests' named tuples: the solution gets tuples with the same fields, and what it returns is theirs.

    Such a tuple that comes back is made of its items, by `tuple` alone.
    """

    def __init__(self) -> None:
        self.kinds: list[type] = []

    def written(self, value: Any, encode: Callable[[Any], Any]) -> Any:
        """The message of a named tuple that is compared as tuples are; None for any other value."""
        kind = type(value)
        fields = getattr(kind, "_fields", None) if isinstance(value, tuple) else None
        if type(fields) is not tuple or len(fields) != len(value) or len(fields) > _MAX_FIELDS:
            return None
        if kind.__eq__ is not tuple.__eq__ or kind.__hash__ is not tuple.__hash__:
            return None
        if not all(type(name) is str and name.isidentifier() for name in (kind.__name__, *fields)):
            return None
        if kind not in self.kinds:
            self.kinds.append(kind)
        about = [self.kinds.index(kind), kind.__name__, list(fields)]
        return {"nt": [about, [encode(item) for item in tuple.__iter__(value)]]}

    def made(self, number: Any, items: list[Any]) -> Any:
        """A tuple of a class that was lent; WireError for any other number or for other fields."""
        if type(number) is not int or not 0 <= number < len(self.kinds):
            raise WireError("a named tuple of no class that was passed")
        kind: Any = self.kinds[number]
        if len(items) != len(kind._fields):
            raise WireError(f"{len(items)} items in a named tuple of {len(kind._fields)}")
        return tuple.__new__(kind, items)


def described(value: Any) -> list[Any]:
    """Name, docstring and kind, as the solution's process learns them."""
    kind = "function"
    if is_iterator(value):
        kind = "generator" if isinstance(value, types.GeneratorType) else "iterator"
    name, doc = getattr(value, "__name__", kind), value.__doc__ if kind == "function" else None
    words = [part if isinstance(part, str) else None for part in (name, doc)]
    return [words[0] or kind, words[1], kind]


def has_attribute(value: Any, name: Any) -> bool:
    """Whether the solution misses what one program would find there; nothing of the tests' runs for that.

    What the library's wrappers have beside their call is asked for where a program can do without, as by
    `hasattr(f, "cache_clear")`: that counts as missing in both.
    """
    if type(name) is not str or name.startswith("_"):
        return False
    if type(value).__module__ == "functools" and name in _OF_WRAPPERS:
        return False
    if type(value) is types.MethodType and has_attribute(value.__func__, name):
        return True
    kinds = [
        type.__getattribute__(kind, "__dict__") for kind in type.__getattribute__(type(value), "__mro__")
    ]
    own = _own_names(value)
    if name in own or any(name in names for names in kinds):
        return True
    if "_mock_methods" in own:
        return _mock_makes(own, name)
    return any(
        "__getattr__" in names or isinstance(names.get("__getattribute__"), types.FunctionType)
        for names in kinds
    )


def _own_names(value: Any) -> dict[str, Any]:
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}


def _mock_makes(own: dict[str, Any], name: str) -> bool:
    """Whether a mock of these attributes makes one of that name: not beyond its `spec`, nor what was deleted."""
    child = own.get("_mock_children", {}).get(name)
    if getattr(child, "name", "") == "DELETED" and type(child).__name__ == "_SentinelObject":
        return False
    return own["_mock_methods"] is None or name in own["_mock_methods"]


def is_same(one: Any, other: Any) -> bool:
    """Whether two are one thing: a bound method is made anew whenever it is looked up."""
    return one is other or (
        isinstance(one, types.MethodType) and isinstance(other, types.MethodType) and one == other
    )


def use(value: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What the solution gets for a call."""
    return next(value) if is_iterator(value) else value(*args, **kwargs)


def input_functions() -> list[Any]:
    """`input`, and `read` or `readline` of the standard input, where the tests have replaced them by now.

    Else there is nothing to read: what the judge itself was started with is not the solution's.
    """
    own_input, own_stdin = builtins.input, sys.stdin

    def read_line(*args: Any) -> Any:
        if builtins.input is own_input and sys.stdin is own_stdin:
            raise EOFError("EOF when reading a line")
        return builtins.input(*args)

    def read(method: Any, size: Any) -> Any:
        if sys.stdin is own_stdin or method not in ("read", "readline"):
            return ""
        return getattr(sys.stdin, method)(int(size))

    return [read_line, read]

"""Objects of the solution: which of them are data, and what the tests may do with the others.

Of a class that is derived from a builtin (`class LRU(OrderedDict)`, named tuples) they travel as plain data where only
the data counts. Where a test may ask for more, a named tuple and its like go with a handle behind the data, and what
the tests made themselves by calling a class stays here as an object.
"""

import builtins
import operator
from typing import Any

from verl_coder.grading.programs.wire import builtin_exception, plain_data

_IMMUTABLE = (int, float, str, bytes, tuple, frozenset)
_MUTABLE = (dict, list, set)
_WITH_DATA = frozenset(
    "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __floordiv__ __mod__ __pow__ __neg__ __abs__ "  # noqa: SIM905
    "__eq__ __lt__ __le__ __gt__ __ge__ __len__ __iter__ __getitem__ __contains__ __call__ __bool__ __enter__".split()
)


def base_name(value: Any) -> str:
    """Name of the builtin that the type of `value` is derived from; empty where it is none or exactly that."""
    kind = type(value)
    for base in (*_MUTABLE, *_IMMUTABLE):
        if isinstance(value, base):
            return "" if kind is base or kind.__module__ in ("builtins", "collections") else base.__name__
    return ""


def only_adds_to_its_data(value: Any) -> bool:
    """Whether the type is derived from an immutable builtin and does nothing differently that the builtin does."""
    if not isinstance(value, _IMMUTABLE):
        return False
    for kind in type(value).__mro__:
        if kind in _IMMUTABLE:
            return True
        if not _WITH_DATA.isdisjoint(vars(kind)):
            return False
    return False


def _exit(target: Any, kind: str | None, text: str) -> bool:
    """`__exit__`, told of an exception of the tests by its name."""
    if kind is None:
        return bool(type(target).__exit__(target, None, None, None))
    failure = builtin_exception(kind) or type(kind, (Exception,), {})
    return bool(type(target).__exit__(target, failure, failure(text), None))


_OWN: dict[str, Any] = {
    "enter": lambda target: type(target).__enter__(target),
    "exit": _exit,
    "plain": plain_data,
}


def find_operation(name: str) -> Any:
    """The function by the name that a proxy of the judge sends; AttributeError where there is none."""
    return _OWN.get(name) or getattr(operator, name, None) or getattr(builtins, name)

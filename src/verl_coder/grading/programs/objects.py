"""Objects of the solution: which of them are data, and what the tests may do with the others.

Of a class that is derived from a builtin (`class LRU(OrderedDict)`, named tuples) they travel as plain data where only
the data counts. Where a test may ask for more, a named tuple and its like go with a handle behind the data, and what
the tests made themselves by calling a class stays here as an object.
"""

import builtins
import copy
import operator
import random
import types
from typing import Any

from verl_coder.grading.programs.heap import attributes
from verl_coder.grading.programs.wire import ABILITIES, builtin_exception, plain_data

_IMMUTABLE = (int, float, str, bytes, tuple, frozenset)
_MUTABLE = (dict, list, set)
_FAKES = 6
"""Beside a plain value: one who answers yes to the first question is right once in eight."""
_WITH_DATA = frozenset(
    "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __floordiv__ __mod__ __pow__ __neg__ __abs__ "  # noqa: SIM905
    "__eq__ __lt__ __le__ __gt__ __ge__ __len__ __iter__ __getitem__ __contains__ __call__ __bool__ __enter__".split()
)


class Made:
    """An object that travels as itself, whatever data it is derived from: the tests made it by calling a class."""

    def __init__(self, value: Any) -> None:
        self.value = value


def abilities(value: Any) -> str:
    """The operations that the type of `value` defines, of those that a stand-in may have."""
    kind = type(value)
    if isinstance(value, type):
        return "class"
    found = [word for word in ABILITIES if _defines(kind, f"__{word}__")]
    return " ".join([*found, "generator"] if isinstance(value, types.GeneratorType) else found)


def _defines(kind: type, method: str) -> bool:
    found = next((vars(base)[method] for base in kind.__mro__ if method in vars(base)), None)
    return found is not None and found is not vars(object).get(method)


def blank(kind: type) -> Any:
    """A helper object whose attributes are about to be set; what the other side knows nothing of is as made anew."""
    value: Any = object.__new__(kind)
    make: Any = vars(kind).get("__init__")
    code = getattr(make, "__code__", None)
    if code is None:
        return value
    try:
        make(value, *[None] * (code.co_argcount - 1 - len(make.__defaults__ or ())))
    except Exception:
        return object.__new__(kind)
    return value


def equality(target: Any, other: Any) -> bool | None:
    """Whether the two are equal; None where `target` says so of anything, or of any data of `other`'s class."""
    questions = [(other, True), (f"nothing equals {random.random()}", False)]
    questions += [(fake, False) for fake in _fakes(other)]
    # In any order and each once, so that neither the first question nor the most frequent one is the real one.
    random.shuffle(questions)
    answers = [(_answer(target, one), wanted) for one, wanted in questions]
    real = next(answer for answer, wanted in answers if wanted)
    if isinstance(real, Exception):
        raise real
    if not real:
        return False
    return True if all((answer is True) is wanted for answer, wanted in answers) else None


def _answer(target: Any, other: Any) -> bool | Exception:
    try:
        return bool(target == other)
    except Exception as error:
        return error


def _fakes(other: Any) -> list[Any]:
    """Things like `other` that it is not; none where there is nothing to change."""
    many = _FAKES if type(other) in (int, float, complex, str, bytes) or other is None else 2
    made = [_changed(other, 3, {}) for _ in range(many)]
    return [fake for fake in made if fake is not other]


def _changed(value: Any, depth: int, seen: dict[int, Any]) -> Any:
    """Other data of the same shape; `value` itself where there is nothing to change."""
    if id(value) in seen or depth < 0:
        return seen.get(id(value), value)
    seen[id(value)] = value
    kind = type(value)
    if value is None or kind in (int, float, complex):
        return (value or 0) + random.choice((-1, 1)) * random.randint(17, 97)
    if kind is bool:
        return not value
    if kind in (str, bytes):
        return value + (str(random.random()) if kind is str else b"other")
    if kind is dict:
        return {**{key: _changed(item, depth - 1, seen) for key, item in value.items()}, random.random(): 0}
    if kind in (list, tuple, set, frozenset):
        return kind([*(_changed(item, depth - 1, seen) for item in value), random.randint(17, 97)])
    if isinstance(value, _IMMUTABLE) and not isinstance(value, type):
        return _changed_data(value, depth, seen)
    return _changed_object(value, depth, seen)


def _changed_data(value: Any, depth: int, seen: dict[int, Any]) -> Any:
    """Of a named tuple, a member of an enumeration and their like: their class with other data, past its `__new__`."""
    base: Any = next(base for base in _IMMUTABLE if isinstance(value, base))
    if base is tuple:
        data = [_changed(item, depth - 1, seen) for item in tuple.__iter__(value)]
    else:
        data = _changed(
            frozenset(value) if base is frozenset else base.__getnewargs__(value)[0], depth - 1, seen
        )
    try:
        return base.__new__(type(value), data)
    except Exception:
        return value


def _changed_object(value: Any, depth: int, seen: dict[int, Any]) -> Any:
    if isinstance(value, (type, types.FunctionType, types.ModuleType)):
        return value
    try:
        held = attributes(value)
        other = seen[id(value)] = object.__new__(type(value))
        changed = {name: _changed(item, depth - 1, seen) for name, item in held.items()}
        for name, item in changed.items():
            object.__setattr__(other, name, item)
    except Exception:
        return value
    return value if all(changed[name] is item for name, item in held.items()) else other


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


def _signature(function: Any) -> list[Any]:
    """[name, kind, default or nothing] of each parameter."""
    import inspect

    found = inspect.signature(function).parameters.values()
    return [[p.name, int(p.kind), *([p.default] if p.default is not p.empty else [])] for p in found]


def _seed(target: Any, library: str, *args: Any) -> None:
    """The tests have seeded their generator: the solution shares it with them in a plain run."""
    (random if library == "random" else __import__("numpy").random).seed(*args)


def _exit(target: Any, kind: str | None, text: str) -> bool:
    """`__exit__`, told of an exception of the tests by its name."""
    if kind is None:
        return bool(type(target).__exit__(target, None, None, None))
    failure = builtin_exception(kind) or type(kind, (Exception,), {})
    return bool(type(target).__exit__(target, failure, failure(text), None))


def _inspected(target: Any, predicate: str) -> bool:
    """What `inspect` or `dataclasses` says of an object."""
    module = __import__("dataclasses" if predicate == "is_dataclass" else "inspect")
    return bool(getattr(module, predicate)(target))


_OWN: dict[str, Any] = {
    "enter": lambda target: type(target).__enter__(target),
    "exit": _exit,
    "plain": plain_data,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "bases": lambda kind: list(kind.__bases__),
    "mro": lambda kind: list(kind.__mro__),
    "signature": _signature,
    "seed": _seed,
    "asdict": lambda target: __import__("dataclasses").asdict(target),
    "astuple": lambda target: __import__("dataclasses").astuple(target),
    "fields": lambda target: [field.name for field in __import__("dataclasses").fields(target)],
    "replace": lambda target, changes: __import__("dataclasses").replace(target, **dict(changes)),
    "inspected": _inspected,
}


def find_operation(name: str) -> Any:
    """The function by the name that a proxy of the judge sends; AttributeError where there is none."""
    return _OWN.get(name) or getattr(operator, name, None) or getattr(builtins, name)

"""Exceptions on their way between judge and candidate: what of one travels, and a fresh one made of that.

Some builtin exceptions keep fields beside `args`, which only the interpreter or their own `__init__` sets. A fresh
exception of a builtin, a listed library or a copied class gets them one by one, each of the type that it always has:
one made without them can end the process (`yield from` takes the value of a StopIteration), as can wrong ones.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from verl_coder.grading.programs.wire import EXCEPTION_MODULES, builtin_exception, library_exception

_NUMBERS = frozenset(("start", "end", "lineno", "offset", "end_lineno", "end_offset"))
_MAX_NUMBER = 1 << 30
_WORDS = (str, type(None))
_OF_UNICODE: dict[str, tuple[type, ...]] = {
    "encoding": (str,),
    "object": (str,),
    "start": (int,),
    "end": (int,),
    "reason": (str,),
}
_FIELDS: dict[type, dict[str, tuple[type, ...]]] = {
    AttributeError: {"name": _WORDS},
    ImportError: {"msg": _WORDS, "name": _WORDS, "path": _WORDS},
    NameError: {"name": _WORDS},
    OSError: {
        "errno": (int, str), "strerror": _WORDS, "filename": (str, bytes, int), "filename2": (str, bytes, int)
    },
    SyntaxError: {
        "msg": _WORDS, "filename": _WORDS, "lineno": (int,), "offset": (int,), "text": _WORDS, "end_lineno": (int,),
        "end_offset": (int,),
    },
    UnicodeDecodeError: {**_OF_UNICODE, "object": (bytes,)},
    UnicodeEncodeError: _OF_UNICODE,
    UnicodeTranslateError: _OF_UNICODE,
}  # fmt: skip
_SET_BY_FIELDS = (SyntaxError, UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError)
"""What their `__init__` makes of arguments is not checked there."""
_PLAIN = frozenset((int, float, str, bool, bytes, complex, type(None)))
_HARNESS = frozenset(("remote", "of_the_tests"))
_KNOWN_HOMES = EXCEPTION_MODULES | {"builtins"}
_DEEP = 20
SOLUTION = "solution:"
"""Stands before the name of a class of the solution."""


def is_plain(value: Any, deep: int = _DEEP) -> bool:
    """Builtin data, through and through."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is dict:
        return bool(deep) and all(is_plain(part, deep - 1) for pair in value.items() for part in pair)
    return kind in (tuple, list, set, frozenset) and bool(deep) and all(is_plain(v, deep - 1) for v in value)


def is_constant(value: Any) -> bool:
    """Builtin data that nobody can change."""
    return type(value) in _PLAIN or (type(value) in (tuple, frozenset) and all(map(is_constant, value)))


def exception_name(kind: type) -> str:
    """How the class is called in a message."""
    return f"{kind.__module__}:{kind.__name__}" if kind.__module__ in EXCEPTION_MODULES else kind.__name__


def parts(message: Any, count: int) -> list[tuple[Any, ...]]:
    """So many tuples of a message, all but the first with pairs or the like; as many empty ones for anything else."""
    if (
        type(message) is not tuple
        or len(message) != count
        or any(type(part) is not tuple for part in message)
    ):
        return [()] * count
    return [message[0], *(tuple(one for one in part if type(one) is tuple) for part in message[1:])]


def fields(error: BaseException) -> tuple[tuple[str, Any], ...]:
    """What a builtin exception keeps beside its arguments."""
    return tuple(_read(error))


def _read(error: BaseException) -> Iterator[tuple[str, Any]]:
    for kind, names in _FIELDS.items():
        if not isinstance(error, kind):
            continue
        for name in names:
            with contextlib.suppress(Exception):
                value = vars(kind)[name].__get__(error)
                if value is not None and _fits(kind, name, value):
                    yield name, value


def _fits(kind: type, name: str, value: Any) -> bool:
    """Whether a field may have the value: an enormous place in a text is read, or printed, as if it were there."""
    if type(value) not in _FIELDS[kind][name]:
        return False
    return name not in _NUMBERS or -(kind is SyntaxError) <= value < _MAX_NUMBER


def fresh(kind: Any, args: tuple[Any, ...], held: Iterable[tuple[Any, ...]]) -> BaseException | None:
    """An exception of a known class with these arguments and fields; None where it cannot be made of them.

    Of its own methods none runs: `__init__` is that of the builtin class.
    """
    base: Any = next(one for one in kind.__mro__ if one.__module__ == "builtins")
    checked = issubclass(kind, _SET_BY_FIELDS)
    try:
        error: BaseException = kind.__new__(kind, *(() if checked else args))
    except Exception:
        return None
    given = _by_name(held)
    with contextlib.suppress(Exception):
        if issubclass(kind, UnicodeError) and checked:
            of = next(one for one in _SET_BY_FIELDS if issubclass(kind, one))
            known = {name: given[name] for name in _OF_UNICODE if _fits(of, name, given[name])}
            base.__init__(error, *(known[name] for name in _OF_UNICODE))
        else:
            base.__init__(error, *(args[:1] if checked else args))
    error.args = args
    for owner, names in _FIELDS.items():
        for name in names if issubclass(kind, owner) else ():
            if name in given and _fits(owner, name, given[name]):
                with contextlib.suppress(Exception):
                    vars(owner)[name].__set__(error, given[name])
    return error


def _by_name(values: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    return {one[0]: one[1] for one in values if len(one) == 2 and type(one[0]) is str}


def class_values(kind: type) -> tuple[tuple[str, str, Any], ...]:
    """(class, name, value) of constants in the bodies of the solution's own classes of an exception, bases first."""
    own = [base for base in reversed(kind.__mro__) if base.__module__ not in _KNOWN_HOMES]
    return tuple(
        (base.__name__, name, value)
        for base in own
        for name, value in vars(base).items()
        if not name.startswith("_") and is_constant(value)
    )


def set_class_values(copies: Mapping[str, type], values: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Give the copied classes what the solution's own have; what is left is of classes that have no copy."""
    left = []
    for value in values:
        if (
            len(value) != 3
            or type(value[0]) is not str
            or not may_hold(value[1])
            or not is_constant(value[2])
        ):
            continue
        owner, name, constant = value
        copy = copies.get(owner)
        if copy is None:
            left.append((name, constant))
        elif not hasattr(next(one for one in copy.__mro__ if one not in copies.values()), name):
            setattr(copy, name, constant)
    return tuple(left)


def may_hold(name: Any) -> bool:
    """Whether an attribute of the solution's exceptions is one in the judge."""
    return type(name) is str and name.isidentifier() and not name.startswith("_") and name not in _HARNESS


def hold(error: BaseException, values: Iterable[tuple[Any, ...]]) -> None:
    """Give an exception what its object held: data under names, and notes."""
    for name, value in _by_name(values).items():
        if name == "__notes__" and type(value) is list:
            for note in value:
                if type(note) is str:
                    BaseException.add_note(error, note)
        elif may_hold(name):
            error.__dict__[name] = value


def what_was_raised(error: Exception, copies: Mapping[str, type]) -> tuple[list[str], tuple[Any, ...]]:
    """(names of its classes, data) of an exception of the tests, for the solution: what it would find of it itself.

    The data are its arguments, attributes and fields if all of that is builtin data, else its words.
    """
    kinds = [kind for kind in type(error).__mro__ if kind not in (BaseException, object)]
    names = [SOLUTION + kind.__name__ if kind in copies.values() else exception_name(kind) for kind in kinds]
    held = tuple((name, value) for name, value in vars(error).items() if may_hold(name) and is_plain(value))
    args = error.args if is_plain(error.args) else (str(error)[:500],)
    return names, (args, held, fields(error))


def raised_by_tests(
    names: list[str], told: tuple[Any, ...], module: Mapping[str, Any], kinds: dict[tuple[str, type], type]
) -> BaseException:
    """In the candidate: an exception as the tests have raised it, of the solution's own class or of one like theirs."""
    args, held, given = told
    kind: Any = Exception
    for name in reversed(names):
        own = _of_module(module, name.removeprefix(SOLUTION)) if name.startswith(SOLUTION) else None
        known = own or builtin_exception(name) or library_exception(name)
        kind = known or kinds.setdefault((name, kind), type(name.removeprefix(SOLUTION), (kind,), {}))
    error: BaseException | None = None
    if names[0].startswith(SOLUTION):
        with contextlib.suppress(Exception):
            error = kind(*args)
    error = error or fresh(kind, args, given) or Exception(*args)
    with contextlib.suppress(AttributeError):
        vars(error).update(held)
    return error


def _of_module(module: Mapping[str, Any], name: str) -> Any:
    found = (v for v in module.values() if isinstance(v, type) and issubclass(v, BaseException))
    return next((kind for kind in found if kind.__name__ == name), None)

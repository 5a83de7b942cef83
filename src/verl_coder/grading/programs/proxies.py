"""The judge's stand-ins for what stays with the solution: every use of one is a message, the answer plain data.

An operation with an argument would show the solution what the test compares with and let it answer "yes". So
operators, `in` and methods that ask a builtin about a value (`startswith`, `count`, `intersection`) work only on
objects that the tests made themselves by calling a class of the solution (`_made`), where they are what is tested. No
stand-in ever equals a plain value because the solution says so.
"""

import random
import types
from collections.abc import Callable, Iterator
from typing import Any

from verl_coder.grading.programs.failures import CandidateLost, Unsplittable
from verl_coder.grading.programs.wire import Codec

_BUILTIN_TYPES = (str, bytes, list, tuple, dict, set, frozenset, int, float)
_ASKING_METHODS = frozenset(
    name for kind in _BUILTIN_TYPES for name in vars(kind) if name.startswith("is")
) | frozenset(
    "count index rindex find rfind startswith endswith union intersection difference symmetric_difference".split()  # noqa: SIM905
)
_BASES = {kind.__name__: kind for kind in _BUILTIN_TYPES}


class Caller:
    """What a stand-in uses of the channel to the candidate (remote.py)."""

    codec: Codec
    generation: int
    unsplittable: int
    ask: Callable[[dict[str, Any]], dict[str, Any]]
    call: Callable[..., Any]
    result: Callable[..., Any]


class Remote:
    """Something of the solution, for instance the entry point."""

    _candidate: Caller
    _number: Any
    _name: str
    _generation: int

    def __init__(self, candidate: Caller, number: Any, name: str) -> None:
        self.__dict__.update(
            _candidate=candidate, _number=number, _name=name, _generation=candidate.generation
        )

    def _do(self, operation: str, *args: Any, swap: bool = False, make: bool = False) -> Any:
        candidate = self._alive()
        message = {"op": operation, "of": self._number, "args": candidate.codec.encode(list(args))}
        if swap:
            message["swap"] = True
        return candidate.result(candidate.ask({**message, "make": make}), make=make)

    def _alive(self) -> Caller:
        if self._generation != self._candidate.generation:
            raise CandidateLost
        return self._candidate

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._alive().call(self._number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_pytest") or name in ("__test__", "__wrapped__", "__path__"):
            raise AttributeError(name)
        candidate = self._alive()
        return candidate.codec.decode(candidate.ask({"op": "get", "of": self._number, "name": name})["r"])

    def __setattr__(self, name: str, value: Any) -> None:
        candidate = self._alive()
        encoded = candidate.codec.encode(value)
        candidate.ask({"op": "set", "of": self._number, "name": name, "value": encoded})

    def __delattr__(self, name: str) -> None:
        self._do("delattr", name)


class RemoteObject(Remote):
    """An instance of a class of the solution (or an iterator, a closure)."""

    _made = False

    def __eq__(self, other: Any) -> bool:
        other = stand_in(other)
        if other is None or not self._do("eq", other):
            return False
        return not self._equals_anything()

    def _equals_anything(self) -> bool:
        """Whether it claims to equal what no object of a class of its own does."""
        try:
            return bool(self._do("eq", f"nothing equals {random.random()}"))
        except Exception:
            return False

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return int(self._do("hash"))

    def __getattr__(self, name: str) -> Any:
        if name in _ASKING_METHODS and not self._made:
            raise AttributeError(f"{self._name!r} object returned by the solution has no usable {name!r}")
        return super().__getattr__(name)

    def __repr__(self) -> str:
        return str(self._do("repr"))

    def __str__(self) -> str:
        return str(self._do("str"))

    def __format__(self, spec: str) -> str:
        return str(self._do("format", spec))

    def __iter__(self) -> Iterator[Any]:
        yield from _items(self)

    def __enter__(self) -> Any:
        entered = self._do("enter")
        same = isinstance(entered, RemoteObject) and entered._number == self._number
        return self if same else entered

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        """The solution may swallow what a test raises itself, but no verdict and no exception of its own."""
        if kind is None:
            self._do("exit", None, "")
            return False
        if not issubclass(kind, Exception) or issubclass(kind, AssertionError):
            return False
        return bool(self._do("exit", kind.__name__, str(error))) and not hasattr(error, "remote")

    def _operate(self, operation: str, *args: Any, swap: bool = False) -> Any:
        if not self._made and not all(stand_in(other) is not None for other in args):
            raise TypeError(
                f"{operation} is not supported on the {self._name!r} object that the solution returned"
            )
        return self._do(operation, *args, swap=swap, make=self._made)


_BINARY = ("lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or")
_OPERATORS = (*_BINARY, "xor", "lshift", "rshift", "matmul", "divmod", "setitem", "delitem", "contains")
_REFLECTED = (*_BINARY[4:], "xor", "lshift", "rshift", "matmul", "divmod")
_UNARY = (
    "len", "next", "int", "float", "bool", "round", "getitem", "neg", "pos", "abs", "invert", "reversed", "index"
)  # fmt: skip


def _forward(operation: str, method: str, **options: Any) -> Any:
    return lambda self, *args: getattr(self, method)(operation, *args, **options)


for _name in _OPERATORS:
    _operation = f"{_name}_" if _name in ("and", "or") else _name
    setattr(RemoteObject, f"__{_name}__", _forward(_operation, "_operate"))
    if _name in _REFLECTED:
        setattr(RemoteObject, f"__r{_name}__", _forward(_operation, "_operate", swap=True))
for _name in _UNARY:
    setattr(RemoteObject, f"__{_name}__", _forward(_name, "_do"))


class RemoteData(RemoteObject):
    """An object that the tests made, of a class derived from a builtin: compared as the data it holds by now."""

    _base: type

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return self._base

    def __eq__(self, other: Any) -> bool:
        if stand_in(other) is not None:
            return super().__eq__(other)
        return bool(self._do("plain") == other)

    def __hash__(self) -> int:
        return super().__hash__()


class RemoteGenerator(RemoteObject):
    """A generator, also for `inspect.isgenerator`."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return types.GeneratorType


class RemoteClass(Remote):
    """A class of the solution. What tests make with one that is named as a class is theirs."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # A function that was replaced by a class must not have its results asked about the right answer.
        if not self._name.lstrip("_")[:1].isupper():
            return super().__call__(*args, **kwargs)
        return self._alive().call(self._number, args, kwargs, make=True)

    def __instancecheck__(self, value: Any) -> bool:
        value = stand_in(value)
        return value is not None and bool(value._do("isinstance", self))

    def __subclasscheck__(self, kind: Any) -> bool:
        return isinstance(kind, Remote) and bool(kind._do("issubclass", self))

    def __getitem__(self, key: Any) -> Any:
        return self._do("getitem", key)

    def __iter__(self) -> Iterator[Any]:
        yield from _items(self)

    def __len__(self) -> int:
        return int(self._do("len"))

    def __bool__(self) -> bool:
        return True

    def __mro_entries__(self, bases: Any) -> Any:
        self._candidate.unsplittable += 1
        raise Unsplittable(f"the tests derive a class from {self._name} of the solution")

    @property
    def __name__(self) -> str:
        return str(self._name)


def _items(of: Remote) -> Iterator[Any]:
    iterator = of._do("iter")
    if not isinstance(iterator, Remote):
        raise TypeError(f"iter() of {of._name!r} gave no iterator")
    while True:
        try:
            yield iterator._do("next")
        except StopIteration:
            return


class OwnData:
    """Plain data of the judge's own, of a type that the solution derived from a builtin: `f().x` of a named tuple.

    Whatever the builtin can do is done on the data; the solution is asked only for what the builtin lacks.
    """

    _stand_in: RemoteObject

    def __getattr__(self, name: str) -> Any:
        if name == "_stand_in":
            raise AttributeError(name)
        return getattr(self._stand_in, name)

    def __repr__(self) -> str:
        return repr(self._stand_in)

    def __str__(self) -> str:
        return str(self._stand_in)


_OWN_TYPES: dict[type, Any] = dict.fromkeys((int, float, str, bytes, tuple, frozenset))
"""Made when one is needed: whatever runs here at the start runs for each grading."""


def own_data(plain: Any, remote: RemoteObject) -> Any:
    """The plain value, with `remote` behind it."""
    kind = type(plain)
    own_type = _OWN_TYPES[kind] = _OWN_TYPES[kind] or type(kind.__name__, (OwnData, kind), {})
    value = own_type(plain)
    value._stand_in = remote
    return value


def stand_in(value: Any) -> Remote | None:
    """The proxy that a value is or has behind it."""
    if isinstance(value, OwnData):
        return value._stand_in
    return value if isinstance(value, Remote) else None


def handle_of(value: Any) -> list[Any] | None:
    """What is sent for a proxy, or for data with one behind it; CandidateLost if it is of an earlier worker."""
    remote = stand_in(value)
    if remote is None:
        return None
    remote._alive()
    return ["yours", remote._number]


def describe(remote: Remote) -> str:
    """Words for the report, without a question to the solution."""
    return f"<an object of the solution's own: {remote._name}>"


def proxy_of(candidate: Caller, number: int, name: str, base: str, *, made: bool) -> RemoteObject:
    """The proxy of an object; `made` by the tests, of a class derived from the builtin that `base` names."""
    kind = RemoteData if base in _BASES else RemoteGenerator if name == "generator" else RemoteObject
    value = kind(candidate, number, name)
    value.__dict__["_made"] = made
    if base in _BASES:
        value.__dict__["_base"] = _BASES[base]
    return value

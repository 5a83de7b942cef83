"""The judge's stand-ins for what stays with the solution: every use of one is a message, the answer plain data.

A stand-in has the operations of a closed list that its object's type defines, and no other dunder: a library that asks
it for `__array_interface__` learns that there is none. An operation with an argument would show the solution what the
test compares with and let it answer "yes". So operators, `in` and methods that ask a builtin about a value
(`startswith`, `count`, `intersection`) work only on objects that the tests made themselves by calling what they use as
a class (`_judge_made`), where they are what is tested. No other stand-in ever equals a plain value.
"""

import sys
import types
from collections.abc import Iterator
from typing import Any

from verl_coder.grading.programs.faces import Caller
from verl_coder.grading.programs.failures import (
    TEST_FILES,
    CandidateLost,
    Unsplittable,
    may_be_swallowed,
    used_by_tests,
)
from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.own_data import OwnData
from verl_coder.grading.programs.wire import ABILITIES, IN_PLACE

_BUILTIN_TYPES = (str, bytes, list, tuple, dict, set, frozenset, int, float)
_ASKING_METHODS = frozenset(
    name for kind in _BUILTIN_TYPES for name in vars(kind) if name.startswith("is")
) | frozenset(
    "count index rindex find rfind startswith endswith union intersection difference symmetric_difference strip lstrip "  # noqa: SIM905
    "rstrip removeprefix removesuffix".split()
)
_BASES = {kind.__name__: kind for kind in _BUILTIN_TYPES}
_READABLE_DUNDERS = frozenset(("__name__", "__qualname__", "__doc__", "__module__", "__dict__"))
_FOR_TESTS = frozenset(("__defaults__", "__kwdefaults__", "__annotations__"))
"""What the tests' own code may read: a library would evaluate annotations."""
_DOC = property(lambda self: self.__getattr__("__doc__"))


class Remote:
    """Something of the solution."""

    __doc__ = _DOC  # type: ignore[assignment]
    __slots__ = (
        "__weakref__",
        "_judge_candidate",
        "_judge_class_name",
        "_judge_generation",
        "_judge_global",
        "_judge_hash",
        "_judge_kind",
        "_judge_made",
        "_judge_name",
        "_judge_number",
    )

    def __init__(
        self,
        candidate: Caller,
        number: int,
        name: str,
        *,
        kind: int = 0,
        made: bool = False,
        hashed: int | None = None,
        class_name: str = "",
    ) -> None:
        own = object.__setattr__
        own(self, "_judge_class_name", class_name)
        own(self, "_judge_candidate", candidate)
        own(self, "_judge_generation", candidate.generation)
        own(self, "_judge_global", "")
        own(self, "_judge_hash", hashed)
        own(self, "_judge_kind", kind)
        own(self, "_judge_made", made)
        own(self, "_judge_name", name)
        own(self, "_judge_number", number)

    def _judge_do(self, operation: str, *args: Any, swap: bool = False, make: bool = False) -> Any:
        candidate = self._judge_alive()
        message = {"op": operation, "of": self._judge_number, "make": make, "swap": swap}
        found = candidate.value(candidate.ask(message, args=args), made=make)
        if not self._judge_made:
            candidate.faces.check(self._judge_number, self._judge_name, operation, args, found)
        return found

    def _judge_alive(self) -> Caller:
        candidate = self._judge_candidate
        if self._judge_generation != candidate.generation:
            if not self._judge_global:
                raise CandidateLost
            candidate.rebind(self)
        return candidate

    def _judge_call(self, *args: Any, **kwargs: Any) -> Any:
        # What tests make with what they use as a class is theirs. What a function replaced by a class, or an object
        # that is called, answers must not be asked about the right answer.
        makes = self._judge_made and isinstance(self, RemoteClass)
        return self._judge_alive().call(self._judge_number, args, kwargs, make=makes)

    def __getattr__(self, name: str) -> Any:
        if name == "__signature__":
            return self._judge_signature()
        hidden = name.startswith("__") and name not in _READABLE_DUNDERS
        hidden = hidden and not (name in _FOR_TESTS and used_by_tests())
        if hidden or name.startswith("_pytest") or name in Remote.__slots__:
            raise AttributeError(name)
        candidate = self._judge_alive()
        return candidate.value(candidate.ask({"op": "get", "of": self._judge_number, "name": name}))

    def _judge_signature(self) -> Any:
        import inspect

        parameters = []
        for name, kind, *default in self._judge_do("signature"):
            options = {"default": default[0]} if default else {}
            parameters.append(inspect.Parameter(name, inspect._ParameterKind(kind), **options))
        return inspect.Signature(parameters)

    def __setattr__(self, name: str, value: Any) -> None:
        candidate = self._judge_alive()
        candidate.value(candidate.ask({"op": "set", "of": self._judge_number, "name": name}, value=value))

    def __delattr__(self, name: str) -> None:
        self._judge_do("delattr", name)

    def __dir__(self) -> list[str]:
        return [str(name) for name in self._judge_do("dir")]

    def __copy__(self) -> Any:
        return self._judge_do("copy", make=self._judge_made)

    def __deepcopy__(self, memo: Any) -> Any:
        return self._judge_do("deepcopy", make=self._judge_made)


class RemoteObject(Remote):
    """An instance of a class of the solution (or an iterator, a closure)."""

    __slots__ = ()

    def __eq__(self, given: Any) -> bool:
        if self is given or self._judge_candidate.decoding:
            return self is given
        other = stand_in(given)
        if other is None and not self._judge_made:
            return False
        candidate = self._judge_alive()
        answer = candidate.ask({"op": "equality", "of": self._judge_number}, args=(given,))["r"]
        if answer not in (True, False):
            raise candidate.refused(f"a {self._judge_name} that equals other things, too, is compared")
        return bool(answer)

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __hash__(self) -> int:
        if self._judge_hash is not None:
            return self._judge_hash
        if self._judge_candidate.decoding:
            raise WireError("an object without a hash as a key")
        return int(self._judge_do("hash"))

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if name in _ASKING_METHODS and not self._judge_made and isinstance(found, Remote):
            return self._judge_refuse_call(name)
        return found

    def _judge_refuse_call(self, method: str) -> Any:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            words = f"{method} of the {self._judge_name!r} object that the solution returned"
            raise self._judge_candidate.refused(words)

        return refuse

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """For the tests' own code the solution's class; for `isinstance` and the like what it is."""
        if sys._getframe(1).f_code.co_filename in TEST_FILES:
            return self._judge_candidate.class_of(self._judge_kind, self._judge_class_name)
        return type(self)

    def __repr__(self) -> str:
        return describe(self) if self._judge_candidate.muted else str(self._judge_do("repr"))

    def __str__(self) -> str:
        return describe(self) if self._judge_candidate.muted else str(self._judge_do("str"))

    def __format__(self, spec: str) -> str:
        return str(self._judge_do("format", spec))

    def _judge_items(self) -> Any:
        iterator = self._judge_do("iter")
        if isinstance(iterator, RemoteObject) and iterator._judge_number == self._judge_number:
            return self
        items = _items_of(iterator)
        if self._judge_made:
            return items
        return self._judge_candidate.faces.watched(self._judge_number, self._judge_name, items)

    def _judge_enter(self) -> Any:
        entered = self._judge_do("enter")
        same = isinstance(entered, RemoteObject) and entered._judge_number == self._judge_number
        return self if same else entered

    def _judge_exit(self, kind: Any, error: Any, trace: Any) -> bool:
        """The solution may swallow what a test raises itself, but no verdict and no exception of its own."""
        if kind is None:
            self._judge_do("exit", None, "")
            return False
        if not issubclass(kind, Exception):
            return False
        swallows = bool(self._judge_do("exit", kind.__name__, str(error)))
        # What a function of the tests raised comes back from the solution, so it is the solution's by now.
        returned = any(error is raised for raised in self._judge_candidate.raised)
        return swallows and not returned and may_be_swallowed(error, trace)

    def _judge_operate(self, operation: str, *args: Any, swap: bool = False) -> Any:
        if not self._judge_made and not all(stand_in(other) is not None for other in args):
            words = f"{operation} on the {self._judge_name!r} object that the solution returned"
            raise self._judge_candidate.refused(words)
        found = self._judge_do(operation, *args, swap=swap, make=self._judge_made)
        made = isinstance(found, RemoteObject) and found._judge_made
        if not made or (found is self and operation in IN_PLACE):
            return found
        # As data where it is data, but nothing that the tests made.
        name, hashed = found._judge_name, found._judge_hash
        alike: Any = {"kind": found._judge_kind, "hashed": hashed, "class_name": name}
        return type(found)(found._judge_candidate, found._judge_number, name, **alike)


_UNARY = frozenset("next len getitem bool int float index round neg pos abs invert reversed".split())  # noqa: SIM905
_OWN_METHODS: dict[str, Any] = {
    "iter": RemoteObject._judge_items,
    "enter": RemoteObject._judge_enter,
    "exit": RemoteObject._judge_exit,
    "call": Remote._judge_call,
}


def _method(ability: str) -> Any:
    """The dunder method of a stand-in that does what its object does."""
    if ability in _OWN_METHODS:
        return _OWN_METHODS[ability]
    swap = ability[:1] == "r" and ability[1:] in ABILITIES
    operation = ability[1:] if swap else ability
    operation += "_" if operation in ("and", "or") else ""
    if ability in _UNARY:
        return lambda self, *args: self._judge_do(operation, *args)
    return lambda self, *args: self._judge_operate(operation, *args, swap=swap)


class RemoteData(RemoteObject):
    """An object that the tests made, of a class derived from a builtin: compared as the data it holds by now."""

    __slots__ = ()
    _judge_base: type

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return self._judge_base

    def __eq__(self, other: Any) -> bool:
        if stand_in(other) is not None:
            return super().__eq__(other)
        return bool(self._judge_do("plain") == other)

    def __hash__(self) -> int:
        return super().__hash__()


class RemoteGenerator(RemoteObject):
    """A generator, also for `inspect.isgenerator`."""

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return types.GeneratorType

    def throw(self, error: Any, *value: Any) -> Any:
        return self._judge_do("throw", *self._judge_candidate.thrown(error, *value))


class RemoteEntry(Remote):
    """What the tests call as the function under test."""

    __doc__ = _DOC  # type: ignore[assignment]
    __slots__ = ()
    __call__ = Remote._judge_call


class RemoteClass(RemoteEntry):
    """A class of the solution. What tests make with one that they use as a class (`made`) is theirs."""

    __doc__ = _DOC  # type: ignore[assignment]
    __slots__ = ()

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Remote) and (other._judge_number, other._judge_generation) == (
            self._judge_number,
            self._judge_generation,
        )

    def __hash__(self) -> int:
        return hash((RemoteClass, self._judge_number))

    @property
    def __bases__(self) -> Any:
        return tuple(self._judge_do("bases"))

    @property
    def __mro__(self) -> Any:
        return tuple(self._judge_do("mro"))

    def __instancecheck__(self, value: Any) -> bool:
        value = stand_in(value)
        return value is not None and bool(value._judge_do("isinstance", self))

    def __subclasscheck__(self, kind: Any) -> bool:
        return isinstance(kind, Remote) and bool(kind._judge_do("issubclass", self))

    def __getitem__(self, key: Any) -> Any:
        return self._judge_do("getitem", key)

    def __iter__(self) -> Iterator[Any]:
        return _items_of(self._judge_do("iter"))

    def __len__(self) -> int:
        return int(self._judge_do("len"))

    def __bool__(self) -> bool:
        return True

    def __mro_entries__(self, bases: Any) -> Any:
        self._judge_candidate.unsplittable += 1
        raise Unsplittable(f"the tests derive a class from {self._judge_name} of the solution")


def _items_of(iterator: Any) -> Iterator[Any]:
    if not isinstance(iterator, Remote):
        raise TypeError("iter() of an object of the solution gave no iterator")
    while True:
        try:
            yield iterator._judge_do("next")
        except StopIteration:
            return


def stand_in(value: Any) -> Remote | None:
    """The proxy that a value is or has behind it."""
    if isinstance(value, OwnData):
        return value._judge_stand_in
    return value if isinstance(value, Remote) else None


def handle_of(value: Any) -> list[Any] | None:
    """What is sent for a proxy, or for data with one behind it; CandidateLost if it is of an earlier worker."""
    remote = stand_in(value)
    if remote is None:
        return None
    remote._judge_alive()
    return ["yours", remote._judge_number]


def describe(remote: Remote) -> str:
    """Words for the report, without a question to the solution."""
    return f"<an object of the solution's own: {remote._judge_name}>"


_KINDS: dict[tuple[int, str, str, str], type[RemoteObject]] = {}


def proxy_of(candidate: Caller, payload: list[Any], *, made: bool) -> RemoteObject:
    """The proxy of an object by its handle's payload (candidate.py), of a class that can what the object can.

    WireError where the payload is malformed.
    """
    types_of_parts = (str, int, str, int, str, str)
    _, number, name, kind, can, base = parts = payload[:6]
    hashed = payload[6]
    if tuple(map(type, parts)) != types_of_parts or type(hashed) not in (int, type(None)) or len(can) > 1000:
        raise WireError("malformed handle")
    base = base if made else ""  # what the tests did not make is no data, whatever it says
    key = (kind, name, can, base)
    proxy_class = _KINDS.get(key)
    if proxy_class is None:
        words = can.split()
        of_data = base in _BASES
        parent = RemoteData if of_data else RemoteGenerator if "generator" in words else RemoteObject
        body: dict[str, Any] = {f"__{word}__": _method(word) for word in words if word in ABILITIES}
        body["__doc__"] = _DOC
        if of_data:
            body["_judge_base"] = _BASES[base]
        proxy_class = _KINDS[key] = type(name[:60], (parent,), {"__slots__": (), **body})
    alike: Any = {"kind": kind, "made": made, "hashed": hashed, "class_name": name[:200]}
    return proxy_class(candidate, number, name[:200], **alike)

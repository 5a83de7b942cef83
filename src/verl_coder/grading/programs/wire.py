"""Plain data between the judge and the candidate: values as JSON.

What arrives is rebuilt from exact builtin types, whatever the sender did: a subclass of `int` with its own
`__eq__` arrives as an int, an object of the solution's own class arrives as a handle that equals nothing.
Never pickle, never marshal: decoding runs no code of the sender.
"""

import builtins
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from verl_coder.grading.programs.frames import WireError

_SCALARS = {int, float, str, bool, type(None)}
_BIG = 1 << 64
_ARRAY_TYPE = r"[<>|=][biufcU][0-9]{1,6}"
_NAMED_MODULES = ("builtins", "math", "operator")
_NEVER_NAMED = frozenset(("eval", "exec", "compile", "open", "input", "exit", "quit", "breakpoint"))
SHARED_MODULES = frozenset(
    "math cmath collections functools itertools heapq bisect typing dataclasses re decimal fractions datetime "  # noqa: SIM905
    "string random statistics copy numbers abc sys time".split()
)
"""Modules that the solution may have imported for the tests; the judge then uses its own copy."""


class Codec:
    """Encodes and decodes values for one side.

    `classes` are the helper classes that both sides know (ListNode, TreeNode), rebuilt attribute by attribute.
    `export(value)` gives the handle of an object that stays here, `resolve(payload)` what a handle means here.
    `own(value)` may encode a value of a type that is not exactly a builtin, else gives None; `resolve_own(plain,
    payload)` rebuilds what the candidate's `own` sent, None where that is refused. `sends_any`, `takes_any`: all
    builtin functions travel by name, as they may towards the candidate and never towards the judge.
    """

    def __init__(
        self,
        classes: Mapping[str, type],
        export: Callable[[Any], Any],
        resolve: Callable[[Any], Any],
        *,
        own: Callable[[Any], Any] = lambda value: None,
        resolve_own: Callable[[Any, Any], Any] | None = None,
        sends_any: bool = False,
        takes_any: bool = False,
    ) -> None:
        self.classes = classes
        self.export = export
        self.resolve = resolve
        self.own = own
        self.resolve_own = resolve_own
        self.sends_any = sends_any
        self.takes_any = takes_any

    def encode(self, value: Any) -> Any:
        """The JSON value; WireError where it is too deep."""
        try:
            return self._encode(value)
        except RecursionError:
            raise WireError("the value is nested too deeply") from None

    def decode(self, value: Any) -> Any:
        """The value; WireError for anything malformed."""
        try:
            return self._decode(value)
        except RecursionError:
            raise WireError("the value is nested too deeply") from None
        except WireError:
            raise
        except Exception as error:
            raise WireError(f"malformed value ({type(error).__name__}: {error})") from None

    def _encode(self, value: Any) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return {"i": hex(value)} if kind is int and not -_BIG < value < _BIG else value
        if kind is list:
            return self._items(value)
        encoder = _ENCODERS.get(kind)
        if encoder is not None:
            return encoder(self, value)
        if kind.__name__ in self.classes and isinstance(self.classes[kind.__name__], type):
            return {"o": self._encode_graph(value)}
        return self._encode_other(value)

    def _items(self, values: Any) -> list[Any]:
        kinds = set(map(type, values))
        if kinds <= _SCALARS and (int not in kinds or _small(values)):
            return list(values)
        encode = self._encode
        return [encode(item) for item in values]

    def _pairs(self, mapping: Any) -> list[Any]:
        encode = self._encode
        return [[encode(key), encode(item)] for key, item in dict.items(mapping)]

    def _encode_other(self, value: Any) -> Any:
        """A subclass of a builtin travels as its plain data; a few well-known types by name; the rest stay here."""
        kind = type(value)
        own = self.own(value)
        if own is not None:
            return own
        module = kind.__module__
        if module in ("decimal", "fractions") and kind.__name__ in ("Decimal", "Fraction"):
            return {"n": [kind.__name__, str(value)]}
        if module == "datetime" and kind.__name__ in ("date", "datetime", "time"):
            return {"n": [kind.__name__, value.isoformat()]}
        if module == "datetime" and kind.__name__ == "timedelta":
            return {"n": ["timedelta", [value.days, value.seconds, value.microseconds]]}
        if module == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
            return self._encode(value.item())
        if module == "numpy" and kind.__name__ == "ndarray" and re.fullmatch(_ARRAY_TYPE, value.dtype.str):
            return {"na": [value.dtype.str, list(value.shape), self._items(value.ravel().tolist())]}
        if isinstance(value, type) or callable(value):
            name = getattr(value, "__name__", None)
            home = getattr(value, "__module__", None)
            if home in _NAMED_MODULES and isinstance(name, str) and self._is_named(home, name, value):
                return {"N": [home, name]}
            return {"h": self.export(value)}
        plain = plain_data(value)
        return {"h": self.export(value)} if plain is None else self._encode(plain)

    def _is_named(self, home: str, name: str, value: Any) -> bool:
        allowed = self.sends_any or (name not in _NEVER_NAMED and not name.startswith("_"))
        return allowed and getattr(__import__(home), name, None) is value

    def resolve_named(self, payload: Any) -> Any:
        """The builtin function or class that is named; WireError for one that must not travel this way."""
        home, name = payload
        if home not in _NAMED_MODULES or (
            not self.takes_any and (name.startswith("_") or name in _NEVER_NAMED)
        ):
            raise WireError(f"name {home}.{name}")
        return getattr(__import__(home), name)

    def _encode_graph(self, root: Any) -> list[Any]:
        """Helper objects as a table of [class, {attribute: value}], so that long and cyclic lists are flat."""
        numbers = {id(root): 0}
        objects = [root]
        rows: list[Any] = []
        for item in objects:
            attributes = {}
            for name, value in vars(item).items():
                if type(value).__name__ in self.classes and not isinstance(value, type):
                    if id(value) not in numbers:
                        numbers[id(value)] = len(objects)
                        objects.append(value)
                    attributes[name] = {"#": numbers[id(value)]}
                else:
                    attributes[name] = self._encode(value)
            rows.append([type(item).__name__, attributes])
        return rows

    def _decode(self, value: Any) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind is list:
            if set(map(type, value)) <= _SCALARS:
                return value
            decode = self._decode
            return [decode(item) for item in value]
        if kind is not dict or len(value) != 1:
            raise WireError("malformed value")
        ((tag, payload),) = value.items()
        decoder = _DECODERS.get(tag)
        if decoder is not None:
            return decoder(self, payload)
        if tag == "o":
            return self._decode_graph(payload)
        if tag == "h":
            return self.resolve(payload)
        if tag == "p" and self.resolve_own is not None:
            return self.resolve_own(self._decode(payload[0]), payload[1])
        raise WireError(f"unknown tag {tag!r}")

    def _decode_graph(self, rows: list[Any]) -> Any:
        objects: list[Any] = [object.__new__(self.classes[name]) for name, _ in rows]
        for item, (_, attributes) in zip(objects, rows, strict=True):
            for name, value in attributes.items():
                if not name.isidentifier() or name.startswith("__"):
                    raise WireError(f"attribute {name!r}")
                is_link = type(value) is dict and "#" in value
                setattr(item, name, objects[value["#"]] if is_link else self._decode(value))
        return objects[0]


def _small(values: Any) -> bool:
    return all(-_BIG < item < _BIG for item in values if type(item) is int)


def _decode_named(payload: Any) -> Any:
    name, text = payload
    if name in ("Decimal", "Fraction"):
        return getattr(__import__("decimal" if name == "Decimal" else "fractions"), name)(str(text))
    if name in ("date", "datetime", "time"):
        return getattr(__import__("datetime"), name).fromisoformat(str(text))
    if name == "timedelta":
        days, seconds, microseconds = map(int, text)
        return __import__("datetime").timedelta(days, seconds, microseconds)
    raise WireError(f"type {name!r}")


def _decode_array(kind: Any, shape: Any, items: list[Any]) -> Any:
    if not re.fullmatch(_ARRAY_TYPE, kind):
        raise WireError(f"array of {kind!r}")
    return __import__("numpy").array(items, dtype=kind).reshape([int(size) for size in shape])


_EMPTY: dict[Any, Any] = {}
_KEYS, _VALUES, _ITEMS = type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items())

_ENCODERS: dict[type, Callable[[Codec, Any], Any]] = {
    tuple: lambda c, v: {"t": c._items(v)},
    dict: lambda c, v: {"d": c._pairs(v)},
    set: lambda c, v: {"s": c._items(v)},
    frozenset: lambda c, v: {"f": c._items(v)},
    bytes: lambda c, v: {"b": v.decode("latin-1")},
    bytearray: lambda c, v: {"B": v.decode("latin-1")},
    complex: lambda c, v: {"c": [v.real, v.imag]},
    range: lambda c, v: {"r": [v.start, v.stop, v.step]},
    slice: lambda c, v: {"sl": c._items([v.start, v.stop, v.step])},
    deque: lambda c, v: {"dq": [c._items(v), v.maxlen]},
    Counter: lambda c, v: {"C": c._pairs(v)},
    defaultdict: lambda c, v: {"dd": c._pairs(v)},
    OrderedDict: lambda c, v: {"od": c._pairs(v)},
    type(...): lambda c, v: {"e": 0},
    type(NotImplemented): lambda c, v: {"e": 1},
    _KEYS: lambda c, v: {"k": c._items(v)},
    _VALUES: lambda c, v: {"v": c._items(v)},
    _ITEMS: lambda c, v: {"I": c._items(v)},
}

_DECODERS: dict[str, Callable[[Codec, Any], Any]] = {
    "t": lambda c, p: tuple(c._decode(p)),
    "d": lambda c, p: {c._decode(k): c._decode(v) for k, v in p},
    "s": lambda c, p: set(c._decode(p)),
    "f": lambda c, p: frozenset(c._decode(p)),
    "i": lambda c, p: int(p, 16),
    "b": lambda c, p: p.encode("latin-1"),
    "B": lambda c, p: bytearray(p.encode("latin-1")),
    "c": lambda c, p: complex(float(p[0]), float(p[1])),
    "r": lambda c, p: range(*map(int, p)),
    "sl": lambda c, p: slice(*c._decode(p)),
    "dq": lambda c, p: deque(c._decode(p[0]), p[1]),
    "C": lambda c, p: Counter({c._decode(k): c._decode(v) for k, v in p}),
    "dd": lambda c, p: defaultdict(None, {c._decode(k): c._decode(v) for k, v in p}),
    "od": lambda c, p: OrderedDict((c._decode(k), c._decode(v)) for k, v in p),
    "e": lambda c, p: NotImplemented if p else ...,
    "k": lambda c, p: dict.fromkeys(c._decode(p)).keys(),
    "v": lambda c, p: dict(enumerate(c._decode(p))).values(),
    "I": lambda c, p: dict(c._decode(p)).items(),
    "n": lambda c, p: _decode_named(p),
    "N": lambda c, p: c.resolve_named(p),
    "na": lambda c, p: _decode_array(p[0], p[1], c._decode(p[2])),
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

"""From a message to values (format: wire.py): bytes in, builtin values out, whoever sent them.

Nothing of the sender runs here and nothing that it controls chooses what runs. Each tag has one reader; each reader
checks the types of its payload, then builds an exact builtin type. A handle stands where a value stands; it is neither
iterated, converted, called nor compared, and hashed only by the number that came with it.
"""

import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.heap import Heap, is_data
from verl_coder.grading.programs.library_values import BY_VALUE, numpy_scalar, read
from verl_coder.grading.programs.wire import (
    ARRAY_ITEMS,
    ARRAY_KINDS,
    CONTAINER_TAGS,
    NAMED_MODULES,
    SCALARS,
    find_named,
    may_name,
)

MAX_ARRAY_BYTES = 256 << 20
MAX_LARGE_KEYS = 1000
"""Keys whose hashes a sender can make collide, in one message."""
_LARGE = 1 << 61


class Decoder:
    """Decodes one message; afterwards `containers` and `nodes` are what it mentions, by number.

    `resolve(payload)` is what a handle means here, `resolve_own(plain, payload)` data with one behind it (None:
    refused), `resolve_tuple(about, items)` a named tuple of the tests; `has_hash(value)` whether such a value may be a
    key. What the message changes of the shared `heap` is changed in place, as a call changes its arguments.
    """

    def __init__(
        self,
        classes: Mapping[str, type],
        resolve: Callable[[Any], Any],
        *,
        resolve_own: Callable[[Any, Any], Any] | None = None,
        resolve_tuple: Callable[[Any, list[Any]], Any] | None = None,
        has_hash: Callable[[Any], bool] = lambda value: True,
        blank: Callable[[type], Any] = object.__new__,
        array: Callable[[Any], Any] = lambda value: value,
        any_name: bool = False,
        heap: Heap | None = None,
        may_change: str = "anything",
    ) -> None:
        self.classes = classes
        self.resolve = resolve
        self.resolve_own = resolve_own
        self.resolve_tuple = resolve_tuple
        self.has_hash = has_hash
        self.blank = blank
        self.array = array
        self.any_name = any_name
        self.heap = Heap() if heap is None else heap
        self.may_change = may_change
        self._rows: dict[int, str] = {}
        self._large_keys = 0
        self._array_bytes = 0

    def decode(self, message: Any) -> Any:
        """The value; WireError for anything malformed."""
        size = self.heap.next
        try:
            return self._read(message)
        except BaseException as error:
            self.heap.forget_after(size)
            if isinstance(error, RecursionError):
                raise WireError("the value is nested too deeply") from None
            if isinstance(error, WireError) or not isinstance(error, Exception):
                raise
            raise WireError(f"malformed value ({type(error).__name__}: {error})") from None

    def _read(self, message: Any) -> Any:
        if type(message) is not dict or "g" not in message:
            value = self._decode(message)
            self.heap.settle([])
            return value
        root, rows, updates = _sized(_only(message)[1], 3)
        known = self.heap.next
        if self.may_change == "nothing" and (updates or any(_a(int, row[0]) < known for row in rows)):
            raise WireError("a question whose answer changes what the tests hold")
        for row in _a(list, rows):
            number, name, held = _sized(row, 3)
            self._rows[_a(int, number)] = _a(str, name)
        changed = [self._change(*_sized(update, 2)) for update in _a(list, updates)]
        value = self._decode(root)
        for number, name, held in rows:
            self._fill(self._node(number), name, held)
        self.heap.settle([*changed, *(number for number in self._rows if number < known)])
        return value

    def _decode(self, value: Any) -> Any:
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is list:
            return self._list(value)
        tag, payload = _only(value)
        if tag in _CONTAINERS:
            return _CONTAINERS[tag](self, payload, None)
        reader = _READERS.get(tag)
        if reader is None:
            raise WireError(f"unknown tag {tag[:20]!r}")
        return reader(self, payload)

    def _items(self, payload: Any) -> list[Any]:
        items = _a(list, payload)
        if set(map(type, items)) <= SCALARS:
            return items
        decode = self._decode
        return [decode(item) for item in items]

    def _keys(self, payload: Any) -> list[Any]:
        keys = self._items(payload)
        for key in keys:
            plain = key.item() if type(key).__module__ == "numpy" else key
            if type(plain) in SCALARS and not (type(plain) is int and abs(plain) >= _LARGE):
                continue
            if not self._may_be_key(key):
                raise WireError(f"a key of type {type(key).__name__}")
            self._large_keys += type(key) not in (tuple, bytes, frozenset)
        if self._large_keys > MAX_LARGE_KEYS:
            raise WireError(f"more than {MAX_LARGE_KEYS} large numbers or objects as keys")
        return keys

    def _may_be_key(self, key: Any) -> bool:
        kind = type(key)
        if kind in SCALARS or kind in (bytes, complex, range, frozenset):
            return True
        if key is ... or key is NotImplemented:
            return True
        if isinstance(key, tuple):
            return all(map(self._may_be_key, tuple.__iter__(key)))
        if kind in self.classes.values():
            return kind.__hash__ is object.__hash__ and kind.__eq__ is object.__eq__
        by_value = kind.__module__ in BY_VALUE or kind.__module__ == "numpy"
        return by_value or kind is type(len) or issubclass(kind, type) or self.has_hash(key)

    def _pairs(self, payload: Any) -> list[tuple[Any, Any]]:
        pairs = [_sized(pair, 2) for pair in _a(list, payload)]
        keys = self._keys([key for key, _ in pairs])
        return [(key, self._decode(item)) for key, (_, item) in zip(keys, pairs, strict=True)]

    # ---- containers: numbered before what they hold is read, for it may mention them

    def _list(self, payload: Any, into: Any = None) -> Any:
        # With room for what it holds and no more, as a list that is written down.
        if into is None and set(map(type, _a(list, payload))) <= SCALARS:
            return self._numbered(payload[:])
        value = self._numbered([None] * len(payload)) if into is None else into
        value[:] = self._items(payload)
        return value

    def _numbered(self, value: Any) -> Any:
        self.heap.add(value)
        return value

    def _known(self, number: Any) -> Any:
        try:
            return self.heap.items[_a(int, number)]
        except KeyError:
            raise WireError(f"nothing has the number {number}") from None

    def _change(self, number: Any, message: Any) -> int:
        """Fill a container that both sides hold anew."""
        with self.heap.changing(self._known(number)) as old:
            self._refill(old, message)
        return int(number)

    def _refill(self, old: Any, message: Any) -> None:
        tag, content = ("l", message) if type(message) is list else _only(message)
        if tag == "l+" and type(old) is list:
            old.extend(self._items(content))
            return
        wanted = CONTAINER_TAGS.get(type(old), "na")
        if tag != wanted:
            raise WireError(f"{tag[:20]!r} in the place of {wanted!r}")
        size = len(old) if self.may_change == "growth" else 0
        _CONTAINERS[tag](self, content, old)
        if size and len(old) < size:
            raise WireError("a question whose answer takes away what the tests hold")

    def _array(self, payload: Any, into: Any) -> Any:
        kind, shape, content = _sized(payload, 3)
        if not re.fullmatch(ARRAY_KINDS, _a(str, kind)):
            raise WireError(f"an array of {kind[:20]!r}")
        import numpy

        items, dtype = self._items(content), numpy.dtype(kind)
        sizes = [_natural(size, 1 << 31) for size in _a(list, shape)]
        count = 1
        for size in sizes:
            count *= size
        kinds = ARRAY_ITEMS[dtype.kind]
        self._array_bytes += count * dtype.itemsize
        if count != len(items) or len(sizes) > 32 or self._array_bytes > MAX_ARRAY_BYTES:
            raise WireError(f"{len(items)} items in an array of shape {sizes}")
        if not all(type(item) in kinds for item in items):
            raise WireError(f"an array of {kind} with something else in it")
        fresh = numpy.array(items, dtype=dtype).reshape(sizes)
        if into is None:
            return self._numbered(self.array(fresh))
        if into.shape != fresh.shape:
            raise WireError("an array of another shape in the place of one")
        into[...] = fresh
        return into

    # ---- helper objects

    def _node(self, number: Any) -> Any:
        """The helper object of a number; made where the message has a row for it and mentions it first."""
        if _natural(number, self.heap.next + 1) < self.heap.next:
            node = self._known(number)
            if type(node) not in self.classes.values():
                raise WireError("no helper object")
            return node
        kind = self.classes.get(self._rows.get(number, ""))
        if not isinstance(kind, type):
            raise WireError(f"no helper class {self._rows.get(number, '')[:40]!r}")
        return self._numbered(self.blank(kind))

    def _fill(self, node: Any, name: str, held: Any) -> None:
        if self.classes.get(name) is not type(node):
            raise WireError("a helper object in the place of another")
        for attribute, value in _a(dict, held).items():
            shadows = not is_data(type(node), attribute)
            if not attribute.isidentifier() or attribute.startswith("__") or shadows:
                raise WireError(f"attribute {attribute[:40]!r}")
            object.__setattr__(node, attribute, self._decode(value))


def _a(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise WireError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _only(value: Any) -> tuple[str, Any]:
    if type(value) is not dict or len(value) != 1:
        raise WireError("malformed value")
    ((tag, payload),) = value.items()
    return tag, payload


def _sized(value: Any, size: int) -> list[Any]:
    if len(_a(list, value)) != size:
        raise WireError(f"{len(value)} parts where {size} belong")
    return value


def _natural(value: Any, below: int) -> int:
    if not 0 <= _a(int, value) < below:
        raise WireError(f"{value} where a number below {below} belongs")
    return value


def _integer(decoder: Decoder, payload: Any) -> int:
    if not re.fullmatch(r"-?0x[0-9a-f]+", _a(str, payload)):
        raise WireError("no hexadecimal number")
    return int(payload, 16)


def _whole(decoder: Decoder, values: Any, size: int) -> list[int]:
    return [_a(int, value) for value in decoder._items(_sized(values, size))]


def _complex(decoder: Decoder, payload: Any) -> complex:
    parts = _sized(payload, 2)
    if not all(type(part) is float for part in parts):
        raise WireError("a complex number of something else")
    return complex(*parts)


def _known_type(decoder: Decoder, payload: Any) -> Any:
    name, content = _sized(payload, 2)
    return read(name, content, lambda values, size: _whole(decoder, values, size))


def _named(decoder: Decoder, payload: Any) -> Any:
    home, name = (_a(str, part) for part in _sized(payload, 2))
    if home not in NAMED_MODULES or not (decoder.any_name or may_name(home, name)):
        raise WireError(f"name {home[:40]}.{name[:40]}")
    return find_named(home, name)


def _named_tuple(decoder: Decoder, payload: Any) -> Any:
    if decoder.resolve_tuple is None:
        raise WireError("a named tuple")
    about, items = _sized(payload, 2)
    return decoder.resolve_tuple(about, decoder._items(items))


def _own(decoder: Decoder, payload: Any) -> Any:
    if decoder.resolve_own is None:
        raise WireError("data with a handle")
    plain, handle = _sized(payload, 2)
    return decoder.resolve_own(decoder._decode(plain), handle)


def _filled(make: Callable[[], Any]) -> Callable[[Decoder, Any, Any], Any]:
    def read(decoder: Decoder, payload: Any, into: Any) -> Any:
        value = decoder._numbered(make()) if into is None else into
        pairs = decoder._pairs(payload)
        dict.clear(value)
        for key, item in pairs:
            value[key] = item
        return value

    return read


def _defaultdict(decoder: Decoder, payload: Any, into: Any) -> Any:
    factory, pairs = _sized(payload, 2)
    value = decoder._numbered(defaultdict(None)) if into is None else into
    make = decoder._decode(factory)
    # A factory of the solution's own is asked when a test looks for what is not there, never here.
    value.default_factory = make if callable(make) else None
    return _FILL_DICT(decoder, pairs, value)


def _set(decoder: Decoder, payload: Any, into: Any) -> set[Any]:
    value = decoder._numbered(set()) if into is None else into
    keys = decoder._keys(payload)
    value.clear()
    value.update(keys)
    return value


def _bytearray(decoder: Decoder, payload: Any, into: Any) -> bytearray:
    value = decoder._numbered(bytearray()) if into is None else into
    value[:] = _a(str, payload).encode("latin-1")
    return value


def _deque(decoder: Decoder, payload: Any, into: Any) -> deque[Any]:
    content, most = _sized(payload, 2)
    limit = None if most is None else _natural(most, 1 << 62)
    value = decoder._numbered(deque(maxlen=limit)) if into is None else into
    items = decoder._items(content)
    value.clear()
    value.extend(items)
    return value


def _namespace(decoder: Decoder, payload: Any, into: Any) -> SimpleNamespace:
    value = decoder._numbered(SimpleNamespace()) if into is None else into
    pairs = decoder._pairs(payload)
    if not all(type(name) is str and name.isidentifier() and name[:2] != "__" for name, _ in pairs):
        raise WireError("a namespace with other names")
    vars(value).clear()
    vars(value).update(pairs)
    return value


_FILL_DICT = _filled(dict)
_CONTAINERS: dict[str, Callable[[Decoder, Any, Any], Any]] = {
    "l": Decoder._list,
    "d": _FILL_DICT,
    "C": _filled(Counter),
    "dd": _defaultdict,
    "od": _filled(OrderedDict),
    "s": _set,
    "B": _bytearray,
    "dq": _deque,
    "sn": _namespace,
    "na": Decoder._array,
}

_READERS: dict[str, Callable[[Decoder, Any], Any]] = {
    "#": lambda d, p: d._known(p),
    "o": Decoder._node,
    "t": lambda d, p: tuple(d._items(p)),
    "f": lambda d, p: frozenset(d._keys(p)),
    "i": _integer,
    "b": lambda d, p: _a(str, p).encode("latin-1"),
    "mv": lambda d, p: memoryview(_a(str, p).encode("latin-1")),
    "c": _complex,
    "r": lambda d, p: range(*_whole(d, p, 3)),
    "sl": lambda d, p: slice(*d._items(_sized(p, 3))),
    "e": lambda d, p: NotImplemented if _natural(p, 2) else ...,
    "k": lambda d, p: dict.fromkeys(d._keys(p)).keys(),
    "v": lambda d, p: dict(enumerate(d._items(p))).values(),
    "mp": lambda d, p: MappingProxyType(dict(d._pairs(p))),
    "I": lambda d, p: dict(d._pairs(p)).items(),
    "n": _known_type,
    "N": _named,
    "nt": _named_tuple,
    "ns": lambda d, p: numpy_scalar(_sized(p, 2)[0], d._decode(p[1])),
    "p": _own,
    "h": lambda d, p: d.resolve(p),
}

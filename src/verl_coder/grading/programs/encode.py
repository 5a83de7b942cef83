"""From values to a message (format: wire.py). It never calls what it encodes, but asks an object for its data."""

import math
import re
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.heap import Heap, attributes
from verl_coder.grading.programs.library_values import written
from verl_coder.grading.programs.wire import (
    ARRAY_KINDS,
    BIG,
    CONTAINER_TAGS,
    SCALARS,
    global_name,
    may_name,
    plain_data,
)


class Encoder:
    """Encodes one message over the `heap` that both sides share.

    `classes` are the helper classes that both sides know by name. `export(value, in_key)` gives the handle of an object
    that stays here; `own(value, encode)` how an instance of a builtin's subclass goes, None: as its plain data.
    """

    def __init__(
        self,
        classes: Mapping[str, type],
        export: Callable[[Any, bool], Any],
        *,
        heap: Heap | None = None,
        own: Callable[[Any, Callable[[Any], Any]], Any] = lambda value, encode: None,
        any_name: bool = False,
    ) -> None:
        self.classes = classes
        self.export = export
        self.heap = Heap() if heap is None else heap
        self.own = own
        self.any_name = any_name
        self._new_nodes: list[int] = []
        self._in_key = False

    def encode(self, value: Any) -> Any:
        """The message; WireError where it is too deep."""
        heap = self.heap
        size = heap.next
        try:
            changed = heap.changed()
            updates, nodes = [], []
            for number in changed:
                item = heap.items[number]
                if self._is_node(item):
                    nodes.append(number)
                    continue
                tail = heap.tail(number)
                written = self._write(item) if tail is None else {"l+": self._items(tail)}
                updates.append([number, written])
            root = self._encode(value)
            self._new_nodes[:0] = nodes
            rows = []
            for number in self._new_nodes:
                rows.append(self._row(number))
        except BaseException as error:
            heap.forget_after(size)
            if isinstance(error, RecursionError):
                raise WireError("the value is nested too deeply") from None
            raise
        heap.settle(changed)
        return {"g": [root, rows, updates]} if rows or updates else root

    def _encode(self, value: Any) -> Any:
        kind = type(value)
        if kind in SCALARS:
            if value is math.nan:
                return {"N": ["math", "nan"]}
            return {"i": hex(value)} if kind is int and not -BIG < value < BIG else value
        if kind in CONTAINER_TAGS:
            return self._container(value)
        writer = _WRITERS.get(kind)
        if writer is not None:
            return writer(self, value)
        if self._is_node(value):
            return {"o": self._node(value)}
        return self._other(value)

    def _container(self, value: Any) -> Any:
        number = self.heap.number(value)
        if number is not None:
            return {"#": number}
        self.heap.add(value)
        return self._write(value)

    def _write(self, value: Any) -> Any:
        kind = type(value)
        tag = CONTAINER_TAGS.get(kind, "na")
        payload = _WRITERS.get(kind, _array)(self, value)
        return payload if tag == "l" else {tag: payload}

    def _items(self, values: Any) -> list[Any]:
        kinds = set(map(type, values))
        known = float in kinds and math.nan in values
        if not known and kinds <= SCALARS and (int not in kinds or _small(values)):
            return list(values)
        encode = self._encode
        return [encode(item) for item in values]

    def _keys(self, values: Any) -> list[Any]:
        before, self._in_key = self._in_key, True
        try:
            return self._items(values)
        finally:
            self._in_key = before

    def _pairs(self, mapping: Any) -> list[Any]:
        items = list(dict.items(mapping))
        keys, encode = self._keys([key for key, _ in items]), self._encode
        return [[key, encode(item)] for key, (_, item) in zip(keys, items, strict=True)]

    def _is_node(self, value: Any) -> bool:
        return isinstance(self.classes.get(type(value).__name__), type) and type(value) not in CONTAINER_TAGS

    def _node(self, value: Any) -> int:
        number = self.heap.number(value)
        if number is None:
            number = self.heap.add(value)
            self._new_nodes.append(number)
        return number

    def _row(self, number: int) -> list[Any]:
        """[number, class, attributes]."""
        node = self.heap.items[number]
        held = {
            name: self._encode(item) for name, item in attributes(node).items() if not name.startswith("__")
        }
        return [number, type(node).__name__, held]

    def _other(self, value: Any) -> Any:
        """A few well-known types by what they hold, a builtin's subclass as its plain data; the rest stays here."""
        own = self.own(value, self._encode)
        if own is not None:
            return own
        content = written(value, self._items)
        if content is not None:
            return {"n": content}
        if type(value).__module__ == "numpy" and (found := self._of_numpy(value)) is not None:
            return found
        if type(value) is memoryview and value.readonly and value.format == "B" and value.ndim == 1:
            return {"mv": value.tobytes().decode("latin-1")}
        if isinstance(value, type) or callable(value):
            name = global_name(value)
            if name is not None and (self.any_name or may_name(*name)):
                return {"N": list(name)}
            return {"h": self.export(value, self._in_key)}
        plain = plain_data(value)
        return {"h": self.export(value, self._in_key)} if plain is None else self._encode(plain)

    def _of_numpy(self, value: Any) -> Any:
        """An array, or a scalar with its type; a scalar of a type that does not travel as what it holds."""
        if re.fullmatch(ARRAY_KINDS, getattr(getattr(value, "dtype", None), "str", "")):
            if type(value).__name__ == "ndarray":
                return self._container(value)
            if value.shape == ():
                return {"ns": [value.dtype.str, self._encode(value.item())]}
        elif getattr(value, "shape", None) == () and type(item := value.item()) is not type(value):
            return self._encode(item)
        return None


def _small(values: Any) -> bool:
    return all(-BIG < item < BIG for item in values if type(item) is int)


def _array(encoder: Encoder, value: Any) -> Any:
    return [value.dtype.str, list(value.shape), encoder._items(value.ravel().tolist())]


_EMPTY: dict[Any, Any] = {}

_WRITERS: dict[type, Callable[[Encoder, Any], Any]] = {
    list: Encoder._items,
    dict: Encoder._pairs,
    set: Encoder._keys,
    bytearray: lambda e, v: v.decode("latin-1"),
    deque: lambda e, v: [e._items(v), v.maxlen],
    Counter: Encoder._pairs,
    defaultdict: lambda e, v: [e._encode(v.default_factory), e._pairs(v)],
    OrderedDict: Encoder._pairs,
    types.SimpleNamespace: lambda e, v: e._pairs(vars(v)),
    types.MappingProxyType: lambda e, v: {"mp": e._pairs(dict(v))},
    tuple: lambda e, v: {"t": e._items(v)},
    frozenset: lambda e, v: {"f": e._keys(v)},
    bytes: lambda e, v: {"b": v.decode("latin-1")},
    complex: lambda e, v: {"c": [v.real, v.imag]},
    range: lambda e, v: {"r": e._items([v.start, v.stop, v.step])},
    slice: lambda e, v: {"sl": e._items([v.start, v.stop, v.step])},
    type(...): lambda e, v: {"e": 0},
    type(NotImplemented): lambda e, v: {"e": 1},
    type(_EMPTY.keys()): lambda e, v: {"k": e._keys(v)},
    type(_EMPTY.values()): lambda e, v: {"v": e._items(v)},
    type(_EMPTY.items()): lambda e, v: {"I": e._pairs(dict(v))},
}

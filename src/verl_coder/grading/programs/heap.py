"""Mutable things that both sides hold, under the same numbers: containers, arrays, helper objects (ListNode).

A message mentions what is known by its number, and begins with what has changed since the other side was last told. So
a list that is passed twice arrives as one, a solution changes its arguments in place, and a test that appends to an
object's attribute appends to the solution's own list.
"""

import contextlib
import operator
import sys
from collections import deque
from collections.abc import Iterator
from types import MemberDescriptorType
from typing import Any, ClassVar

_MAX_ITEMS, _MAX_WEIGHT = 1000, 200_000
_OWN_REFERENCES = 2
"""Those of the heap and of the call that counts them."""


class Heap:
    """One side's copies, by number. Without `track` nothing is watched: the numbers are of one message only."""

    history: ClassVar[Any] = None
    """In the judge (earlier.py): it is told what the other side changes."""

    def __init__(self, *, track: bool = False) -> None:
        self.track = track
        self.items: dict[int, Any] = {}
        self.next = 0
        """The number of what comes next; numbers are never used again."""
        self._numbers: dict[int, int] = {}
        self._shown: dict[int, Any] = {}
        self._settled = 0
        self._weight = 0

    def number(self, value: Any) -> int | None:
        """The number of a thing that is known."""
        return self._numbers.get(id(value))

    def add(self, value: Any) -> int:
        """The number of a new thing."""
        self._numbers[id(value)] = number = self.next
        self.items[number] = value
        self.next += 1
        return number

    @property
    def is_full(self) -> bool:
        """Whether it is time for a new one: what changed is found by looking at everything."""
        return len(self.items) > _MAX_ITEMS or self._weight > _MAX_WEIGHT

    def changed(self) -> list[int]:
        """Numbers of what no longer holds what the other side was shown."""
        items = self.items
        return [number for number, shown in self._shown.items() if not is_as(shown, items[number])]

    def tail(self, number: int) -> list[Any] | None:
        """What was appended to a list since; None where something else has changed."""
        value, shown = self.items[number], self._shown[number]
        known = len(shown)
        if type(value) is not list or not known < len(value) or not all(map(operator.is_, shown, value)):
            return None
        return value[known:]

    def settle(self, updated: list[int]) -> None:
        """Both sides have the same now: remember what was new or `updated`."""
        if not self.track:
            return
        for number in updated:
            self._shown[number] = content_of(self.items[number])
        for number in range(self._settled, self.next):
            if number in self.items:
                value = self.items[number]
                self._weight += _size(value)
                self._shown[number] = content_of(value)
        self._settled = self.next

    @contextlib.contextmanager
    def changing(self, value: Any) -> Iterator[Any]:
        """What the other side has changed is filled anew in the block."""
        before = content_of(value) if self.history is not None else None
        yield value
        if self.history is not None:
            self.history.note(value, before)

    def dead(self) -> list[int]:
        """Numbers of what nothing but this heap refers to any more, and whose last change has been told."""
        count, items = sys.getrefcount, self.items
        found = [number for number in self._shown if count(items[number]) <= _OWN_REFERENCES]
        if self.history is not None:
            known, most = self.history.knows, _OWN_REFERENCES + 1
            found += [n for n in self._shown if count(items[n]) == most and known(items[n])]
        return [number for number in found if is_as(self._shown[number], items[number])]

    def drop(self, numbers: list[int]) -> list[int]:
        """Forget things, whose numbers are given back: mentioned again by the other side, they would be new."""
        for number in numbers:
            value = self.items.pop(number, None)
            if self.history is not None:
                self.history.forget(value)
            self._numbers.pop(id(value), None)
            if self._shown.pop(number, None) is not None:
                self._weight -= _size(value)
        return numbers

    def forget_after(self, number: int) -> None:
        """Undo what a message that failed half-way has added."""
        self.drop([known for known in self.items if known >= number])
        self.next = number


def attributes(node: Any) -> dict[str, Any]:
    """The data of a helper object, also of one with slots."""
    found = dict(getattr(node, "__dict__", ()))
    for kind in type(node).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("__") and hasattr(node, name):
                found[name] = getattr(node, name)
    return found


def is_data(kind: type, name: str) -> bool:
    """Whether instances may have the attribute: nothing that shadows a method or property of their class."""
    for base in kind.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            return type(found) is MemberDescriptorType or not (
                callable(found) or hasattr(type(found), "__get__")
            )
    return True


def _size(value: Any) -> int:
    """How much there is to look at; an array of no dimension has no length."""
    return len(value) if hasattr(value, "__len__") and getattr(value, "shape", None) != () else 1


def content_of(value: Any) -> Any:
    """What a container holds, to be compared member by member by identity; of an array or bytearray, bytes."""
    if isinstance(value, dict):
        return tuple(dict.keys(value)), tuple(dict.values(value))
    if isinstance(value, (list, set, deque)):
        return tuple(value)
    if isinstance(value, bytearray):
        return bytes(value)
    if type(value).__module__ == "numpy":
        return value.tobytes()
    held = attributes(value)
    return tuple(held), tuple(held.values())


def is_as(shown: Any, value: Any) -> bool:
    """Whether a container holds what it was shown to hold (`content_of`)."""
    # Everything is looked at for every message, so nothing is copied here that need not be.
    if isinstance(value, (list, set, deque)):
        return len(value) == len(shown) and all(map(operator.is_, value, shown))
    if not isinstance(value, dict):
        content = content_of(value)
        if type(content) is bytes:
            return bool(content == shown)
        value = dict(zip(*content, strict=True))
    keys, values = shown
    same = len(value) == len(values) and all(map(operator.is_, dict.values(value), values))
    return same and all(map(operator.is_, dict.keys(value), keys))

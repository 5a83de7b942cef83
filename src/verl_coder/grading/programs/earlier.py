"""What the tests' containers held before the solution changed them, for what the tests expect of it (reading.py).

Time is counted in statements of the tests that are marked. What was empty is an output, which the solution is to fill;
what the tests have changed since is as they want it.
"""

import copy
import operator
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from verl_coder.grading.programs.heap import content_of, is_as

SINCE, BEFORE, SETTLE = "__since__", "__before__", "__settle__"
"""The tests' names of `mark`, `as_before` and `settled` of the history."""
_KEPT = 4
_CONTAINERS = frozenset((list, dict, set, deque, Counter, defaultdict, OrderedDict, bytearray, tuple))


class _Version(NamedTuple):
    time: int
    content: Any


class _Changed:
    """A container that the solution has changed: what it held before, and what it was left with."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.versions: list[_Version] = []
        self.left_with: Any = None


class History:
    """Changes that the solution made of what both sides hold."""

    def __init__(self) -> None:
        self._time = 0
        self._test_began = 0
        self._marks: dict[str, int] = {}
        self._changed: dict[int, _Changed] = {}

    def begin_test(self) -> None:
        """What was changed until now, another test has let the solution change."""
        self._time += 1
        self._test_began = self._time
        self._marks.clear()

    def mark(self, *names: str) -> None:
        """The statement that begins now computes what has these names."""
        self._time += 1
        self._marks.update(dict.fromkeys(names, self._time))

    def note(self, value: Any, content: Any) -> None:
        """The solution has changed a container that had this content."""
        known = self._changed.setdefault(id(value), _Changed(value))
        if known.versions and not _is_content(value, known.left_with, content):
            known.versions.clear()
        if not known.versions or known.versions[-1].time < self._time:
            known.versions.append(_Version(self._time, content))
            # The oldest stays, and the last ones.
            del known.versions[1 : max(1, len(known.versions) - _KEPT)]
        known.left_with = content_of(value)

    def knows(self, value: Any) -> bool:
        """Whether this refers to a container."""
        return id(value) in self._changed

    def forget(self, value: Any) -> None:
        """Of a container that nobody else refers to."""
        self._changed.pop(id(value), None)

    def as_before(self, value: Any, *marks: str) -> Any:
        """The value as it was when the first of `marks` was set; itself where the solution has changed nothing."""
        if not self._changed or not _is_container(value):
            return value
        since = min((self._marks.get(name, self._test_began) for name in marks), default=self._test_began)
        old: dict[int, Any] = {}
        self._collect(value, since, old)
        return _rebuilt(value, old, {}) if old else value

    def settled(self, marks: Sequence[str], expected: Sequence[int], *values: Any) -> list[Any]:
        """Values that are compared: those `expected` as they were, but for what is the answer itself."""
        found = list(values)
        answers = [value for number, value in enumerate(values) if number not in expected]
        for number in expected:
            if not any(values[number] is answer for answer in answers):
                found[number] = self.as_before(values[number], *marks)
        return found

    def _collect(self, value: Any, since: int, old: dict[int, Any]) -> None:
        """Contents of what has changed, by identity, of all that the value held then or holds."""
        seen: set[int] = set()
        left = [value]
        while left:
            value = left.pop()
            if id(value) in seen or not _is_container(value):
                continue
            seen.add(id(value))
            content = self._content_at(value, since)
            if content is not None:
                old[id(value)] = content
            if type(value) is not bytearray and not _is_array(value):
                left.extend(_members(value, content))

    def _content_at(self, value: Any, since: int) -> Any:
        known = self._changed.get(id(value))
        if known is None or known.value is not value or not is_as(known.left_with, value):
            return None
        found = next((one for one in known.versions if one.time >= since), None)
        if known.versions[0].time < self._test_began:
            found = known.versions[0]
        if found is None:
            return None
        return found.content if len(_items(value, found.content)) else None


HISTORY = History()
"""Of the one judge that this process is."""


def names_for_tests() -> dict[str, Any]:
    """What reading.py writes into the tests."""
    return {SINCE: HISTORY.mark, BEFORE: HISTORY.as_before, SETTLE: HISTORY.settled}


def _is_container(value: Any) -> bool:
    return type(value) in _CONTAINERS or _is_array(value)


def _is_array(value: Any) -> bool:
    return (
        type(value).__module__ == "numpy" and hasattr(value, "tobytes") and getattr(value, "shape", ()) != ()
    )


def _items(value: Any, content: Any) -> Any:
    """Of the content of a container, what it holds."""
    return content[1] if isinstance(value, dict) else content


def _members(value: Any, content: Any) -> Any:
    return value if type(value) is tuple else _items(value, content_of(value) if content is None else content)


def _is_content(value: Any, one: Any, other: Any) -> bool:
    """Whether two contents of a container are the same things."""
    if isinstance(one, bytes):
        return bool(one == other)
    pairs = zip(one, other, strict=True) if isinstance(value, dict) else [(one, other)]
    return all(len(mine) == len(yours) and all(map(operator.is_, mine, yours)) for mine, yours in pairs)


def _rebuilt(value: Any, old: dict[int, Any], made: dict[int, Any]) -> Any:
    """A copy of the containers in a value with their contents of then; all else is the same object."""
    if id(value) in made:
        return made[id(value)]
    kind = type(value)
    if _is_array(value):
        return _array_of(value, old[id(value)]) if id(value) in old else value
    if kind not in _CONTAINERS:
        return value
    content = old.get(id(value))
    if kind is tuple:
        return tuple(_rebuilt(item, old, made) for item in value)
    if kind is bytearray:
        return bytearray(value if content is None else content)
    fresh: Any = copy.copy(value)
    fresh.clear()
    made[id(value)] = fresh
    held = content_of(value) if content is None else content
    if isinstance(value, dict):
        for key, item in zip(*held, strict=True):
            fresh[key] = _rebuilt(item, old, made)
    elif kind is set:
        fresh.update(held)
    else:
        fresh.extend(_rebuilt(item, old, made) for item in held)
    return fresh


def _array_of(value: Any, content: bytes) -> Any:
    import numpy

    fresh = value.copy()
    fresh[...] = numpy.frombuffer(content, dtype=value.dtype).reshape(value.shape)
    return fresh

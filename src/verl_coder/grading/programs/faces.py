"""Objects that a solution returned tell of themselves again and again: what they told must agree with what they tell.

An object whose `len()` is right and whose iteration is empty would pass `len(r) == len(e)` and a loop over both, though
it holds nothing; one whose number is another at each `float()` fits several points of a curve. So what such an object
told stands until something is done: called, set, stepped on.
"""

from collections.abc import Callable, Iterator
from typing import Any

PURE = frozenset(
    "len bool int float index round neg pos abs invert plain equality hash repr str format isinstance issubclass "  # noqa: SIM905
    "bases mro dir signature".split()
)
"""Questions whose answer changes nothing that both sides hold: a test may be walking through it."""
LOOKS = frozenset("get getitem iter reversed contains".split())  # noqa: SIM905
"""Questions that may add to what both sides hold (a cache, a log), and take nothing away."""
_READS = PURE | LOOKS | frozenset("next describe public copy deepcopy".split())  # noqa: SIM905
_STEADY = frozenset("len bool int float index round neg pos abs invert getitem".split())  # noqa: SIM905
_DATA = (int, float, complex, str, bytes, bool, type(None))
_MOST = 10_000


def allowed_changes(operation: str) -> str:
    """`nothing`, `growth` or `anything`: what an answer to the operation may do to what both sides hold."""
    return "nothing" if operation in PURE else "growth" if operation in LOOKS else "anything"


class Faces:
    """What objects that the tests did not make have told of themselves, by their number."""

    def __init__(self, refused: Callable[[str], BaseException]) -> None:
        self._refused = refused
        self._told: dict[tuple[int, str, str], Any] = {}
        self._items: dict[int, list[Any]] = {}
        self._epoch = 0

    def note(self, operation: str) -> None:
        """An operation is about to be asked for: after one that does something, anything may have changed."""
        if operation not in _READS and (self._told or self._items):
            self.forget()

    def forget(self) -> None:
        """Nothing that was told holds any more."""
        self._told.clear()
        self._items.clear()
        self._epoch += 1

    def check(self, number: int, name: str, operation: str, args: tuple[Any, ...], found: Any) -> None:
        """Hold an answer against what the object told before; raises what `refused` gives where they differ."""
        if operation == "next":
            self._told = {key: value for key, value in self._told.items() if key[0] != number}
        plain = type(found) in _DATA and all(type(arg) in _DATA for arg in args)
        if operation not in _STEADY or not plain:
            return
        before = self._told.setdefault((number, operation, repr(args)), found)
        if not _same(before, found):
            raise self._refused(
                f"{operation} of the {name!r} object that the solution returned changes by itself"
            )
        if len(self._told) > _MOST:
            self.forget()

    def watched(self, number: int, name: str, items: Iterator[Any]) -> Iterator[Any]:
        """The items, held against an earlier iteration and, at their end, against the length that was told."""
        epoch, count, earlier = self._epoch, 0, self._items.setdefault(number, [])
        for item in items:
            if epoch == self._epoch and count < len(earlier) and not _same(earlier[count], item):
                raise self._refused(f"the items of the {name!r} object that the solution returned change")
            if count == len(earlier) and count < _MOST:
                earlier.append(item)
            count += 1
            yield item
        length = self._told.pop((number, "len", "()"), count)
        if epoch == self._epoch and count < max(length, len(earlier)):
            known = max(length, len(earlier))
            raise self._refused(
                f"the {name!r} object that the solution returned has {count} items, not {known}"
            )


def _same(before: Any, now: Any) -> bool:
    """Whether two answers agree, as far as they are plain data."""
    if type(before) not in _DATA or type(now) not in _DATA:
        return True
    return type(before) is type(now) and (before == now or before != before)


class Caller:
    """What a stand-in uses of the channel to the candidate (remote.py)."""

    generation: int
    faces: Faces
    unsplittable: int
    decoding: bool
    muted: bool
    raised: list[BaseException]
    thrown: Callable[..., tuple[Any, ...]]
    refused: Callable[[str], BaseException]
    rebind: Callable[[Any], None]
    value: Callable[..., Any]
    ask: Callable[..., dict[str, Any]]
    call: Callable[..., Any]
    class_of: Callable[[int, str], Any]

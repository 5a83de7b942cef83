"""In the candidate: what the tests lend the solution. It stays in the judge; each use is a message."""

import builtins
import io
import sys
from collections import namedtuple
from collections.abc import Callable
from typing import Any

INPUT, STDIN = 0, 1
"""Numbers of what the tests always lend where they take care of the standard input (`lent.py`)."""


class JudgeFunction:
    """A function that the tests passed as an argument: it runs in the judge, on plain data."""

    def __init__(
        self, call_back: Callable[..., Any], number: int, name: str = "function", doc: Any = None
    ) -> None:
        self.call_back = call_back
        self.number = number
        self.__name__ = self.__qualname__ = name
        self.__doc__ = doc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call_back(self.number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        """It has no attributes here; the judge is told of one that it has there, since the test needs that."""
        # `yield from` asks any iterator for it, and only generators have one.
        if not name.startswith("_") and not (name == "close" and isinstance(self, JudgeIterator)):
            self.call_back(self.number, (name,), {}, "attribute")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __copy__(self) -> "JudgeFunction":
        return self

    def __deepcopy__(self, memo: Any) -> "JudgeFunction":
        return self


class JudgeIterator(JudgeFunction):
    """An iterator of the tests, asked for one item at a time."""

    def __iter__(self) -> "JudgeIterator":
        return self

    def __next__(self) -> Any:
        return self()


class JudgeGenerator(JudgeIterator):
    """A generator of the tests. It is closed here alone: Python may close one at any time, and no message goes then."""

    closed = False

    def __next__(self) -> Any:
        if self.closed:
            raise StopIteration
        return self()

    def close(self) -> None:
        """From now on it has no items for the solution; `yield from` calls this where it is cut short."""
        self.closed = True


_KINDS: dict[str, type[JudgeFunction]] = {"iterator": JudgeIterator, "generator": JudgeGenerator}


class BorrowedTuples:
    """Named tuples of the tests: for each of their classes one of the same name and fields."""

    def __init__(self) -> None:
        self.kinds: dict[int, type] = {}

    def made(self, about: list[Any], items: list[Any]) -> Any:
        """The tuple of a message of the tests'."""
        number, name, fields = about
        if number not in self.kinds:
            self.kinds[number] = namedtuple(name, fields)
        return self.kinds[number](*items)

    def written(self, value: Any, encode: Callable[[Any], Any]) -> Any:
        """The message of a tuple of such a class; None for any other value."""
        number = next((number for number, kind in self.kinds.items() if kind is type(value)), None)
        return None if number is None else {"nt": [number, [encode(item) for item in value]]}


def borrowed(
    call_back: Callable[..., Any], number: int, name: str, doc: Any, kind: str = ""
) -> JudgeFunction:
    """The stand-in of what the tests passed."""
    return _KINDS.get(kind, JudgeFunction)(call_back, number, name, doc)


class _JudgeStdin(io.TextIOBase):
    """The standard input as the tests have set it."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self.ask = ask

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        return str(self.ask("read", -1 if size is None else size))

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        return str(self.ask("readline", size))


def borrow_input(call_back: Callable[..., Any]) -> None:
    """Let `input` and `sys.stdin` be those of the tests, which may have replaced them."""
    builtins.input = JudgeFunction(call_back, INPUT, "input")
    sys.stdin = _JudgeStdin(JudgeFunction(call_back, STDIN, "stdin"))

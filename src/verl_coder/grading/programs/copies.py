"""In the judge: exceptions of the solution, as fresh ones of builtin, listed library or copied classes."""

import contextlib
from collections.abc import Callable
from typing import Any

from verl_coder.grading.programs.failures import RemoteError, RemoteExit, told
from verl_coder.grading.programs.libraries import known_exception
from verl_coder.grading.programs.observe import replay
from verl_coder.grading.programs.raised import fresh, hold, parts, set_class_values, what_was_raised

_DEEP = 4
"""So many exceptions one came of are told of."""
_MAX_NAME, _MAX_TEXT = 200, 2000


class Copies:
    """Copies of the solution's classes of exceptions by name, and what the tests raised in what they lend."""

    def __init__(self) -> None:
        self.kinds: dict[str, type] = {}
        self.knows_system_exit = False
        self.raised: list[BaseException] = []

    def described(self, names: list[Any], values: Any) -> type:
        """The copy of a class that the tests name, with the constants of its body."""
        kind = self.kind(names)
        set_class_values(self.kinds, parts(values, 2)[1])
        return kind

    def kind(self, names: list[Any]) -> type:
        """The copy of a class, with copies of those that it is derived from."""
        kind: type = Exception
        for name in reversed([str(name) for name in names]):
            known = known_exception(name)
            if known is not None:
                kind = known
            elif name not in ("object", "BaseException"):
                kind = self.kinds.setdefault(name, type(name, (kind,), {"__str__": told}))
        return kind

    def replay(self, reply: dict[str, Any]) -> None:
        """Let the tests see what the solution did beside answering; warnings have classes, too."""
        replay(reply, self.kind)

    def note(self, error: Exception) -> tuple[list[str], tuple[Any, ...], int]:
        """(names of its classes, data, number) of what the tests raised: with the number it comes back as itself."""
        self.raised.append(error)
        return *what_was_raised(error, self.kinds), len(self.raised) - 1

    def thrown(self, error: Any, value: Any = None, *trace: Any) -> tuple[list[str], tuple[Any, ...], int]:
        """The same of what the tests throw into a generator of the solution, be it a class."""
        if isinstance(error, type):
            error = value if isinstance(value, error) else error(*(() if value is None else (value,)))
        if not isinstance(error, Exception):
            raise TypeError("exceptions must be classes or instances deriving from Exception")
        return self.note(error)

    def error(self, reply: dict[str, Any], decode: Callable[..., Any], deep: int = _DEEP) -> BaseException:
        """What the solution raised, as an exception of the judge's own; `remote` are the words for the report."""
        again = reply.get("again")
        if type(again) is int and 0 <= again < len(self.raised):
            return self.raised[again]
        names, text, line = reply["x"]
        text, allowed = str(text), reply.get("allowed", "anything")
        known = [self.kinds.get(str(name)) or known_exception(name) for name in names]
        kind: Any = next(filter(None, known), RemoteError if "Exception" in names else RemoteExit)
        if self.knows_system_exit and names[0] == "SystemExit":
            kind = SystemExit
        args, held, given, of_classes = parts(
            decode(reply["r"], may_change=allowed) if "r" in reply else (), 4
        )
        # An ExceptionGroup is made of exceptions.
        error: Any = fresh(kind, args, given) or RemoteError(*args)
        hold(error, (*set_class_values(self.kinds, of_classes), *held))
        for name in ("cause", "context") if deep else ():
            if type(reply.get(name)) is dict:
                # What it may change is said by this side, in its own words.
                came_of = self.error({**reply[name], "allowed": allowed}, decode, deep - 1)
                setattr(error, f"__{name}__", came_of)
        if reply.get("context") == "cause":
            error.__context__ = error.__cause__
        error.__suppress_context__ = reply.get("quiet") is True
        shown = None
        with contextlib.suppress(Exception):
            shown = str(error)
        if shown != text and kind in self.kinds.values():
            error.__dict__["_text"] = text
        elif shown != text:
            error.args = (text,)
        place = f" (line {int(line)})" if line else ""
        error.remote = f"{str(names[0]).rpartition(':')[2][:_MAX_NAME]}: {text[:_MAX_TEXT]}{place}"
        return error

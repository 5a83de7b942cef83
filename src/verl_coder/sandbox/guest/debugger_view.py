"""What a debugger shows of a stopped program: frames, source, locals."""

import dis
import linecache
import os
import reprlib
import sys
from types import FrameType, TracebackType
from typing import Any, Literal

from verl_coder.sandbox.guest.channel import short
from verl_coder.sandbox.guest.shown import WINDOW_LINES

_MAX_LOCALS = 60
_MAX_STACK = 40
_MAX_LINE = 2000
_RESUMED_AFTER_YIELD = 1

NOWHERE: dict[str, Any] = {
    "file": None, "line": None, "function": None, "source": [], "locals": {}, "stack": [], "frames": 0,
    "returning": None,
}  # fmt: skip
"""Of a program that stands at no place."""


class _Repr(reprlib.Repr):
    """Knows the built-in containers by their class, and not what has only a name like theirs."""

    def repr1(self, x: Any, level: int) -> str:
        if type(x).__module__ in ("builtins", "collections", "array"):
            return super().repr1(x, level)
        return self.repr_instance(x, level)

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # more digits than Python writes
            return f"<int of {x.bit_length()} bits>"


_repr = _Repr()
_repr.maxstring = _repr.maxother = 160
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = 12


def names_of(frame: FrameType) -> tuple[dict[str, Any], Any]:
    """(globals, locals) for an expression: in one of both a comprehension or a lambda would not find what is local."""
    if frame.f_locals is frame.f_globals:
        return frame.f_globals, frame.f_locals
    names = {**frame.f_globals, **frame.f_locals}
    return names, names


def describe_frames(
    frames: list[tuple[FrameType, int]], selected: int, home: str, *, values: bool
) -> dict[str, Any]:
    """The selected frame's place, source window and locals (their `values`), and the stack; paths below `home`."""
    frame, line = frames[selected]
    file = frame.f_code.co_filename
    return {
        "file": os.path.relpath(file, home),
        "line": line,
        "function": frame.f_code.co_name,
        "source": [
            {"line": number, "text": short(text.rstrip("\n"), _MAX_LINE), "current": number == line}
            for number in range(max(1, line - WINDOW_LINES), line + WINDOW_LINES + 1)
            if (text := linecache.getline(file, number))
        ],
        "locals": bounded_locals(frame) if values else {"...": "a value cannot be shown"},
        "stack": [
            {
                "function": each.f_code.co_name,
                "file": os.path.relpath(each.f_code.co_filename, home),
                "line": at,
                "selected": position == selected,
            }
            for position, (each, at) in list(enumerate(frames))[-_MAX_STACK:]
        ],
        "frames": len(frames),
    }


def bounded_locals(frame: FrameType) -> dict[str, str]:
    """Names and bounded reprs; modules and dunder names left out."""
    shown: dict[str, str] = {}
    for name, value in list(frame.f_locals.items()):
        # A name that is no text stands in `globals()[1] = 2`.
        if not isinstance(name, str) or name.startswith("__") or isinstance(value, type(sys)):
            continue
        if len(shown) == _MAX_LOCALS:
            shown["..."] = f"{len(frame.f_locals) - _MAX_LOCALS} more"
            break
        shown[name] = bounded_repr(value)
    return shown


def bounded_repr(value: object) -> str:
    """A short repr of any value."""
    try:
        return short(_repr.repr(value), 400)
    except KeyboardInterrupt:  # the time limit's
        raise
    except BaseException as error:
        return f"<repr failed: {type(error).__name__}>"


def how_it_leaves(frame: FrameType) -> Literal["return", "yield", "wait", "leaving"]:
    """What a frame does that ends or rests: `leaving` is by an exception, `wait` for what it awaits or yields from."""
    code, at = frame.f_code.co_code, frame.f_lasti
    name = dis.opname[code[at]]
    if name.startswith("RETURN"):
        return "return"
    if not name.startswith("YIELD"):
        return "leaving"
    # The RESUME behind it says so by its argument.
    return "yield" if code[at + 3] & 3 == _RESUMED_AFTER_YIELD else "wait"


def frames_above(frame: FrameType | None, ours: Any) -> list[tuple[FrameType, int]]:
    """The frames of a stopped program that are `ours`, with their lines, outermost first."""
    found = []
    while frame is not None:
        if ours(frame):
            found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


def frames_of(trace: TracebackType | None, ours: Any) -> list[tuple[FrameType, int]]:
    """The same of an exception."""
    found = []
    while trace is not None:
        if ours(trace.tb_frame):
            found.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return found

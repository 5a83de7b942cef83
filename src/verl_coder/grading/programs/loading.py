"""In the candidate: what a solution finds when it is loaded, and which of its names is called."""

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

_TO_A_CALL = 3
"""Frames of the worker above the one that loads, when it calls a function of the solution."""


def allow_frames_below() -> None:
    """Let the solution recurse as deeply as in a program of its own: the frames that call it count, too."""
    frame: Any = sys._getframe(1)
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(sys.getrecursionlimit() + depth + _TO_A_CALL)


def add_header(header: str, entries: Sequence[str], names: dict[str, Any]) -> dict[str, Any]:
    """Run the import statements that no solution has asked for; this Python need not have all of it.

    Returns what is called as the tests call the solution: it is for `names` once the solution is loaded and none of
    it was taken for the solution's own.
    """
    before = set(names)
    try:
        exec(compile(header, "<header>", "exec"), names)
    except ImportError:
        for line in header.splitlines():
            with contextlib.suppress(ImportError):
                exec(compile(line, "<header>", "exec"), names)
    called = {_root(entry) for entry in entries}
    return {name: names.pop(name) for name in called & (names.keys() - before)}


def _root(entry: str) -> str:
    return entry.partition("(")[0].partition(".")[0]


def find_entry(entries: Sequence[str], names: dict[str, Any]) -> Any:
    """The first of the expressions that is there; what the first one raises where none is.

    A class without the method that is asked for does not hide a function of that name.
    """
    missing = None
    for text in [text for text in entries if _root(text) in names] or entries[:1]:
        try:
            return eval(text, names)
        except AttributeError as error:
            missing = missing or error
    assert missing is not None
    raise missing

"""In the candidate: what a solution finds when it is loaded, and which of its names is called."""

import contextlib
import sys
import types
from collections.abc import Collection, Sequence
from typing import Any

_TO_A_CALL = 3
"""Frames of the worker above the one that loads, when it calls a function of the solution."""
_IMPORT_STAR = ("CALL_INTRINSIC_1", 2)
"""How Python says it from 3.12 on."""


def allow_frames_below() -> None:
    """Let the solution recurse as deeply as in a program of its own: the frames that call it count, too."""
    frame: Any = sys._getframe(1)
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(sys.getrecursionlimit() + depth + _TO_A_CALL)


def add_header(header: str, entries: Sequence[str], names: dict[str, Any]) -> dict[str, Any]:
    """Run the import statements that no solution has asked for; this Python need not have all of it.

    Returns what it brought under names that the tests call: that is the solution's only where it binds them itself.
    """
    before = set(names)
    try:
        exec(compile(header, "<header>", "exec"), names)
    except ImportError:
        for line in header.splitlines():
            with contextlib.suppress(ImportError):
                exec(compile(line, "<header>", "exec"), names)
    called = {_root(entry) for entry in entries}
    return {name: names[name] for name in called & (names.keys() - before)}


def not_its_own(brought: dict[str, Any], names: dict[str, Any], module: types.CodeType) -> set[str]:
    """Of what the header brought: names that the solution, whose code is `module`, has left as they were."""
    same = {name for name, value in brought.items() if names.get(name) is value}
    return same - _bound_by(module, brought) if same else same


def _bound_by(module: types.CodeType, brought: dict[str, Any]) -> set[str]:
    """Names that the statements of a module bind: imports, also by star, assignments, definitions."""
    import dis

    bound: set[str] = set()
    imported = ""
    for step in dis.get_instructions(module):
        if step.opname in ("STORE_NAME", "STORE_GLOBAL"):
            bound.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            imported = step.argval
        elif step.opname == "IMPORT_STAR" or (step.opname, step.arg) == _IMPORT_STAR:
            found = getattr(sys.modules.get(imported), "__dict__", {})
            bound |= {name for name, value in brought.items() if found.get(name) is value}
    return bound


def _root(entry: str) -> str:
    return entry.partition("(")[0].partition(".")[0]


def find_entry(entries: Sequence[str], names: dict[str, Any], without: Collection[str] = ()) -> Any:
    """The first of the expressions that is there; what the first one raises where none is.

    A class without the method that is asked for does not hide a function of that name. `without`: names that are
    there and are none of the solution's.
    """
    there = [text for text in entries if _root(text) in names and _root(text) not in without]
    if not there and _root(entries[0]) in without:
        raise NameError(f"name {_root(entries[0])!r} is not defined")
    missing = None
    for text in there or entries[:1]:
        try:
            return eval(text, names)
        except AttributeError as error:
            missing = missing or error
    assert missing is not None
    raise missing

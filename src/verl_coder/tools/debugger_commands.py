"""Commands of a debugger as people and models write them (gdb, pdb). Knows no verl."""

import re
from collections.abc import Mapping
from typing import Any

from verl_coder.words import nearest

_NAMES: Mapping[str, str] = {
    "b": "break", "break": "break", "breakpoint": "break", "cl": "clear", "clear": "clear",
    "delete": "clear", "r": "run", "run": "run", "restart": "run", "start": "run",
    "c": "continue", "cont": "continue", "continue": "continue",
    "n": "next", "next": "next", "s": "step", "step": "step",
    "unt": "until", "until": "until", "ret": "return", "return": "return", "finish": "return", "fin": "return",
    "u": "up", "up": "up", "d": "down", "down": "down",
    "p": "print", "pp": "print", "print": "print", "inspect": "print",
    "w": "where", "where": "where", "bt": "where", "backtrace": "where",
    "locals": "locals", "info": "info", "l": "list", "list": "list", "ll": "list",
}  # fmt: skip
COMMANDS = ("break", "clear", "run", "continue", "next", "step", "until", "return", "up", "down", "print", "where",
            "locals", "list")  # fmt: skip
_PLACE = re.compile(
    r"(?:main\.py:)?(?:(?P<line>\d+)|(?P<function>[A-Za-z_][\w.]*))?(?:\s*(?:,|if\b)\s*(?P<when>.+))?"
)
_INFO: Mapping[str, str] = {"l": "locals", "a": "locals", "b": "breakpoints", "s": "where", "f": "where"}
"""What `info` shows, by the first letter of what is asked: locals, args, breakpoints, stack, frame."""
_REPEATED = ("next", "step", "up", "down")
_RANGE = re.compile(r"(\d+)(?:\s*[,-]\s*(\d+))?")
_LINE_DIGITS = 9
_MOST_TIMES = 100
_AROUND = 5
"""Lines that `list N` shows above and below."""


class CommandMistake(ValueError):
    """A command that cannot be read; its text tells the model what is wrong."""


def read_command(text: str) -> tuple[str, dict[str, Any]]:
    """(command, arguments of the sandbox's debugger) of one line; CommandMistake."""
    word, rest = (*text.strip().split(None, 1), "", "")[:2]
    called = re.match(r"(p|pp|print)\((.*)\)$", text.strip(), re.S)
    if called:
        word, rest = "print", called[2]
    rest = rest.strip()
    name = _NAMES.get(word.lower())
    if name is None:
        close = nearest(word, _NAMES)
        hint = f"did you mean {_NAMES[close]}?" if close else f"there are {', '.join(COMMANDS)}"
        raise CommandMistake(f"no command {word!r}; {hint}")
    if name == "print":
        if not rest:
            raise CommandMistake("print wants an expression")
        return "print", {"expression": rest}
    if name == "info":
        return _INFO.get(rest[:1].lower(), "locals"), {}
    if name == "break" and not rest:
        return "breakpoints", {}
    if name in ("break", "clear", "until"):
        return name, _place(name, rest)
    return name, _count(name, rest) if rest else {}


def _count(name: str, rest: str) -> dict[str, Any]:
    """The number behind a command that is done so often, the lines behind `list`; CommandMistake for anything else."""
    found = _RANGE.fullmatch(rest)
    if found and max(map(len, filter(None, found.groups()))) > _LINE_DIGITS:
        raise CommandMistake(f"{name}: a number of so many digits")
    if found and name == "list":
        first, last = int(found[1]), int(found[2] or 0)
        return {"lines": (first, last) if last else (first - _AROUND, first + _AROUND)}
    if found and name in _REPEATED and not found[2]:
        if not int(found[1]):
            raise CommandMistake(f"{name} 0 does nothing")
        return {"times": min(int(found[1]), _MOST_TIMES)}
    takes = (
        "a number" if name in _REPEATED else "a line, or two (`list 3,9`)" if name == "list" else "nothing"
    )
    raise CommandMistake(f"{name} takes {takes}, and not {rest!r:.80}; one command a line")


def _place(name: str, rest: str) -> dict[str, Any]:
    found = _PLACE.fullmatch(rest)
    if found is None or (name == "break" and not (found["line"] or found["function"])):
        raise CommandMistake(
            f"{name} {rest}: give a line or a function, for instance `{name} 12` or `{name} solve`"
        )
    place: dict[str, Any] = {}
    if found["line"]:
        if len(found["line"]) > _LINE_DIGITS:
            raise CommandMistake(f"{name}: the program has no line of so many digits")
        place["line"] = int(found["line"])
        if place["line"] == 0:
            raise CommandMistake(f"{name} 0: the first line of the program is 1")
    elif found["function"]:
        place["function"] = found["function"]
    if found["when"] and name == "break":
        place["condition"] = found["when"]
    if name == "until" and "function" in place:
        raise CommandMistake(f"until {rest}: give a line, or nothing for the next line below")
    return place

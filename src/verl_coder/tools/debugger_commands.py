"""Commands of a debugger as people and models write them (gdb, pdb), and what is shown after each. Knows no verl."""

import re
from collections.abc import Mapping
from typing import Any

from verl_coder.words import nearest

_NAMES: Mapping[str, str] = {
    "b": "break", "break": "break", "breakpoint": "break", "cl": "clear", "clear": "clear", "delete": "clear",
    "r": "run", "run": "run", "restart": "run", "start": "run",
    "c": "continue", "cont": "continue", "continue": "continue",
    "n": "next", "next": "next", "s": "step", "step": "step",
    "unt": "until", "until": "until", "ret": "return", "return": "return", "finish": "return", "fin": "return",
    "u": "up", "up": "up", "d": "down", "down": "down",
    "p": "print", "pp": "print", "print": "print", "inspect": "print",
    "w": "where", "where": "where", "bt": "where", "backtrace": "where",
    "locals": "locals", "info": "locals", "l": "list", "list": "list", "ll": "list",
}  # fmt: skip
COMMANDS = ("break", "clear", "run", "continue", "next", "step", "until", "return", "up", "down", "print", "where",
            "locals", "list")  # fmt: skip
_PLACE = re.compile(
    r"(?:main\.py:)?(?:(?P<line>\d+)|(?P<function>[A-Za-z_][\w.]*))?(?:\s*(?:,|if\b)\s*(?P<when>.+))?"
)
_VALUE_CHARS = 200
_LINE_DIGITS = 9


class CommandMistake(ValueError):
    """A command that cannot be read; its text tells the model what is wrong."""


def read_command(text: str) -> tuple[str, dict[str, Any]]:
    """(command, arguments of the sandbox's debugger) of one line; CommandMistake."""
    word, _, rest = text.strip().partition(" ")
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
    if name in ("break", "clear", "until"):
        return name, _place(name, rest)
    return name, {}


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
    elif found["function"]:
        place["function"] = found["function"]
    if found["when"] and name == "break":
        place["condition"] = found["when"]
    if name == "until" and "function" in place:
        raise CommandMistake(f"until {rest}: give a line, or nothing for the next line below")
    return place


def show(name: str, answer: Mapping[str, Any], *, window: int, shift: int = 0) -> str:
    """What the model reads after a command: its own result, then the place where the program stands.

    `window` lines of source above and below; line numbers are those of the debugged program less `shift`.
    """
    parts = [answer["run_result"]["stdout"].rstrip("\n")]
    if answer["run_result"]["status"] == "TimeLimitExceeded":
        parts.append("the program was still running at its time limit and was stopped where it is")
    if answer.get("message"):
        parts.append(str(answer["message"]))
        return "\n".join(part for part in parts if part)
    state: Mapping[str, Any] = answer.get("state") or {}
    error = answer.get("error")
    if name == "print":
        parts.append(str(answer["value"]) if answer.get("value") is not None else _in_words(error))
    elif name in ("break", "clear"):
        parts.append(_breakpoints(state, shift))
    elif name == "where":
        parts += [
            f"{'->' if frame['selected'] else '  '} {frame['function']}, {_line_in_words(frame['line'], shift)}"
            for frame in state["stack"]
        ] or ["the program is not stopped anywhere"]
    elif name == "locals":
        parts.append(_locals(state))
    else:
        parts += _stand(state, error, window, shift)
    return "\n".join(part for part in parts if part)


def _stand(state: Mapping[str, Any], error: Any, window: int, shift: int) -> list[str]:
    """Why and where the program stands, with source and locals."""
    event, line = state["event"], state.get("line")
    if event == "not_started":
        return ["the program has not been started: `run` starts it"]
    if event == "exited":
        code = state.get("return_code")
        return [f"the program ended with exit code {code}" if code else "the program ended"]
    why = {
        "breakpoint": "breakpoint",
        "line": "stopped",
        "return": "about to return",
        "interrupted": "interrupted",
    }
    said = _in_words(error) if event == "exception" else why.get(event, event)
    where = _place_in_words(line, state["function"], shift) if line else ""
    source = [
        f"{'->' if row['current'] else '  '} {row['line'] - shift:>3}  {row['text']}"
        for row in state["source"]
        if line and abs(row["line"] - line) <= window and row["line"] > shift
    ]
    return [said + where, *source, _locals(state)]


def _place_in_words(line: int, function: str, shift: int) -> str:
    return f" at line {line - shift} in {function}" if line > shift else f" in {function}, in the code given"


def _line_in_words(line: int, shift: int) -> str:
    """Lines of the row's own code have no number that the model could use."""
    return f"line {line - shift}" if line > shift else "in the code given"


def _in_words(error: Any) -> str:
    return f"{error['ename']}: {error['evalue']}".removesuffix(": ") if error else ""


def _locals(state: Mapping[str, Any]) -> str:
    values = [f"{name} = {text[:_VALUE_CHARS]}" for name, text in (state.get("locals") or {}).items()]
    hidden = ("<function ", "<class ")
    return "\n".join(value for value in values if not value.partition(" = ")[2].startswith(hidden))


def _breakpoints(state: Mapping[str, Any], shift: int) -> str:
    points = [
        f"line {point['line'] - shift}" + (f" if {point['condition']}" if point["condition"] else "")
        for point in state.get("breakpoints") or []
    ]
    return "breakpoints: " + ", ".join(points) if points else "no breakpoints"

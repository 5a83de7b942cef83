"""What a model reads after a command of the debugger. Knows no verl."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from verl_coder.sandbox.types import signal_name
from verl_coder.tools.output import last_lines
from verl_coder.words import one_line

_VALUE_CHARS = 200
_MOST_LISTED = 60
_LINE = re.compile(r"\bline (\d+)")


def show(name: str, answer: Mapping[str, Any], *, window: int, shift: int = 0, stderr_lines: int = 10) -> str:
    """What the model reads after a command: its own result, then the place where the program stands.

    `window` lines of source above and below; line numbers are those of the debugged program less `shift`. Of what the
    program wrote to stderr the last `stderr_lines` lines are shown.
    """
    parts = said_by_program(answer["run_result"], stderr_lines)
    if answer["run_result"]["status"] == "TimeLimitExceeded":
        parts.append("the program was still running at its time limit and was stopped where it is")
    if answer.get("message"):
        parts.append(own_lines(str(answer["message"]), shift))
        return "\n".join(part for part in parts if part)
    state: Mapping[str, Any] = answer.get("state") or {}
    error = answer.get("error")
    if name == "print":
        ended = how_it_ended(state.get("return_code")) if state["event"] == "exited" else ""
        parts.append(
            str(answer["value"]) if answer.get("value") is not None else _in_words(error, shift) or ended
        )
    elif name in ("break", "clear", "breakpoints"):
        parts += [own_lines(answer.get("note") or "", shift), _breakpoints(state, shift)]
    elif name == "where":
        above = (state.get("frames") or 0) - len(state["stack"])
        parts += [f"   ... {above} frames above these"] if above > 0 else []
        parts += [
            f"{'->' if frame['selected'] else '  '} {frame['function']}, {_line_in_words(frame['line'], shift)}"
            for frame in state["stack"]
        ] or ["the program is not stopped anywhere"]
    elif name == "locals":
        parts.append(_locals(state))
    else:
        parts += [*_stand(state, error, window, shift), own_lines(answer.get("note") or "", shift)]
    return "\n".join(part for part in parts if part)


def _stand(state: Mapping[str, Any], error: Any, window: int, shift: int) -> list[str]:
    """Why and where the program stands, with source and locals."""
    event, line = state["event"], state.get("line")
    if event == "not_started":
        return ["the program has not been started: `run` starts it"]
    if event == "exited":
        return [how_it_ended(state.get("return_code"))]
    why = {"line": "stopped", "return": "about to return", "yield": "about to yield"}
    said = why.get(event, event)
    if event in ("return", "yield") and state.get("returning"):
        said += f" {_cut(one_line(state['returning']))}"
    elif event == "exception":
        said = _in_words(error, shift)
    elif event in ("raised", "leaving"):
        words = _in_words(error, shift) or "an exception"
        said = f"raised {words}" if event == "raised" else f"leaving by {words}"
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


def _in_words(error: Any, shift: int) -> str:
    if not error:
        return ""
    words = f"{error['ename']}: {error['evalue']}".removesuffix(": ")
    return re.sub(r"(?<=\(main\.py, line )(\d+)(?=\)$)", lambda found: str(int(found[1]) - shift), words)


def own_lines(message: str, shift: int) -> str:
    """A message of the sandbox with the lines of the model's own code: it names each as `line N`."""
    return _LINE.sub(lambda found: f"line {int(found[1]) - shift}", message)


def said_by_program(run_result: Mapping[str, Any], stderr_lines: int) -> list[str]:
    """What it printed, and the end of what it wrote to stderr."""
    return [run_result["stdout"].rstrip("\n"), last_lines(run_result["stderr"], stderr_lines)]


def how_it_ended(code: int | None) -> str:
    """A program's end in words; a negative code is a signal's."""
    if code is not None and code < 0:
        return f"the program was ended by {signal_name(code)}"
    return f"the program ended with exit code {code}" if code else "the program ended"


def listed(code: str, lines: Sequence[int], current: int | None) -> str:
    """Lines `first` to `last` of a program; where these are too many, the first of them and how to see the others."""
    first, last = max(lines[0], 1), min(lines[1], lines[0] + _MOST_LISTED)
    program = list(enumerate(code.split("\n"), 1))
    shown = program[first - 1 : max(last, 0)]
    rows = [f"{'->' if number == current else '  '} {number:>3}  {text}" for number, text in shown]
    if rows and last < min(lines[1], len(program)):
        rows.append(f"... `list {last + 1},{min(lines[1], len(program))}` shows the others")
    return "\n".join(rows) or f"the program has no line {first}"


def _cut(value: str) -> str:
    return value if len(value) <= _VALUE_CHARS else f"{value[:_VALUE_CHARS]}..."


def _locals(state: Mapping[str, Any]) -> str:
    values = [f"{name} = {_cut(text)}" for name, text in (state.get("locals") or {}).items()]
    hidden = ("<function ", "<class ")
    return "\n".join(value for value in values if not value.partition(" = ")[2].startswith(hidden))


def _breakpoints(state: Mapping[str, Any], shift: int) -> str:
    points = [
        f"line {point['line'] - shift}" + (f" if {point['condition']}" if point["condition"] else "")
        for point in state.get("breakpoints") or []
    ]
    return "breakpoints: " + ", ".join(points) if points else "no breakpoints"

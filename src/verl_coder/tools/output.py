"""What a model reads after a tool ran its program."""

from collections.abc import Iterable, Mapping
from typing import Any

from verl_coder.protocols import quote_closing_tags
from verl_coder.sandbox import CommandResult
from verl_coder.sandbox.types import signal_name


def cut_middle(text: str, max_chars: int) -> str:
    """`text`, or its head and tail around a mark that says how much was left out, at most `max_chars` long."""
    if len(text) <= max_chars:
        return text
    mark = f"\n... {len(text) - max_chars} characters left out ...\n"
    room = max(max_chars - len(mark), 2)
    return text[: room // 2] + mark + text[len(text) - room // 2 :]


def last_lines(stderr: str | None, lines: int) -> str:
    """The end of what a program wrote to stderr: logs, warnings, a traceback."""
    return "\n".join((stderr or "").rstrip("\n").splitlines()[-lines:])


def shown_text(parts: Iterable[str], max_chars: int) -> str:
    """What a tool returns: the parts that are not empty, cut, and with no tag that would end the result."""
    return quote_closing_tags(cut_middle("\n".join(part for part in parts if part), max_chars))


def how_session_ended(answer: Mapping[str, Any]) -> str:
    """` (why)`, as the sandbox says it of a session that is not alive; empty where it does not know."""
    _, colon, how = str(answer.get("message") or "").partition(": ")
    return f" ({how})" if colon else ""


def format_output(
    result: CommandResult, *, timeout_s: float, traceback_lines: int = 1, max_chars: int = 4096
) -> str:
    """Text for the model: stdout, then the last `traceback_lines` lines of stderr, and an end by force."""
    parts = [(result.stdout or "").rstrip("\n"), last_lines(result.stderr, traceback_lines)]
    if result.status == "TimeLimitExceeded":
        parts.append(f"TimeoutError: the program ran longer than {timeout_s:g} s")
    elif result.return_code and not parts[-1]:
        code = result.return_code
        parts.append(f"exit code {code}" if code > 0 else f"the program was ended by {signal_name(code)}")
    return shown_text(parts, max_chars) or "(no output)"

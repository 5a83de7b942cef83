"""What a model reads after a tool ran its program."""

from verl_coder.protocols import quote_closing_tags
from verl_coder.sandbox import CommandResult


def cut_middle(text: str, max_chars: int) -> str:
    """`text`, or its head and tail around a mark that says how much was left out, at most `max_chars` long."""
    if len(text) <= max_chars:
        return text
    mark = f"\n... {len(text) - max_chars} characters left out ...\n"
    room = max(max_chars - len(mark), 2)
    return text[: room // 2] + mark + text[len(text) - room // 2 :]


def format_output(
    result: CommandResult, *, timeout_s: float, traceback_lines: int = 1, max_chars: int = 4096
) -> str:
    """Text for the model: stdout, then the last `traceback_lines` lines of stderr if the program failed."""
    parts = [(result.stdout or "").rstrip("\n")]
    if result.status == "TimeLimitExceeded":
        parts.append(f"TimeoutError: the program ran longer than {timeout_s:g} s")
    elif result.return_code:
        error = (result.stderr or "").rstrip("\n").splitlines()[-traceback_lines:]
        parts.append("\n".join(error) or f"exit code {result.return_code}")
    return (
        quote_closing_tags(cut_middle("\n".join(part for part in parts if part), max_chars)) or "(no output)"
    )

"""The calls of a trace: what is sent, and what comes back. Of a tool without state that is the attempt's own run."""

from dataclasses import dataclass

from verl_coder.protocols import tool_call
from verl_coder.teacher.attempts import Attempt
from verl_coder.teacher.choice import Sketch
from verl_coder.teacher.trace_tools import TESTS, TraceTools


@dataclass(frozen=True, kw_only=True)
class ToolTurn:
    """One turn that calls a tool, and its result."""

    attempt: Attempt
    """Whose code it runs."""
    text: str
    """The call as the model writes it."""
    told: str
    """What the model reads."""
    seen: str = ""
    """Of a debugger: a sentence about what it shows."""


def calls_of(sketch: Sketch, tools: TraceTools) -> list[ToolTurn]:
    """The calls of tools without state, one an attempt."""
    return [
        ToolTurn(
            attempt=attempt,
            text=_written(attempt.code if tools.kind == TESTS else attempt.program, tools),
            told=attempt.told,
        )
        for attempt in sketch.attempts
    ]


def _written(code: str, tools: TraceTools) -> str:
    """A call in hermes form, or the program between its tags."""
    if tools.tags is None:
        return tool_call(tools.name, code)
    return f"{tools.tags.call}\n{code.strip(chr(10))}\n{tools.tags.end_call}"

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
    """The call in hermes form."""
    told: str
    """What the model reads."""
    seen: str = ""
    """Of a debugger: a sentence about what it shows."""


def calls_of(sketch: Sketch, tools: TraceTools) -> list[ToolTurn]:
    """The calls of tools without state, one an attempt."""
    return [
        ToolTurn(
            attempt=attempt,
            text=tool_call(tools.name, attempt.code if tools.kind == TESTS else attempt.program),
            told=attempt.told,
        )
        for attempt in sketch.attempts
    ]

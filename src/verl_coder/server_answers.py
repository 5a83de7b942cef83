"""What OpenAI-compatible servers say of the end of an answer, read alike for a teacher and for a model under test."""

from collections.abc import Mapping
from typing import Any

_WHOLE = ("", "stop", "tool_calls", "function_call", "eos", "eos_token", "stop_sequence", "end_turn")
"""Of an answer that the model ended itself; empty where a server gives no reason."""


def is_whole(finish_reason: str | None) -> bool:
    """Whether the model ended its answer itself.

    `length` says that no tokens were left; any other reason (abort, error, content_filter) that the server broke the
    answer off, which tells nothing of the model.
    """
    return (finish_reason or "") in _WHOLE


def stopped_at(choice: Mapping[str, Any]) -> str | None:
    """The text of those given at which vLLM or SGLang stopped; empty where it was none of them.

    None where a server does not say. Where a token ended the answer, they give its number or nothing.
    """
    for name in ("stop_reason", "matched_stop"):
        if name in choice:
            return choice[name] if isinstance(choice[name], str) else ""
    return None

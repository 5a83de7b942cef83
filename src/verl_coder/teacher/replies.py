"""The answer of an OpenAI-compatible server: text, thinking, tool calls, usage, and whether it is whole.

Thinking comes as `reasoning` (vLLM since 0.16), as `reasoning_content` (before, and other servers) or inside the text,
between <think> and </think>, where the server has no reasoning parser. A chat template that opens the thinking in the
prompt leaves only the closing tag in the text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from verl_coder.json_text import is_number
from verl_coder.server_answers import is_whole, stopped_at

ThinkingField = Literal["reasoning", "reasoning_content", "inline", ""]
_OPEN, _CLOSE = "<think>", "</think>"

REFUSED = "refused: "
"""What `FailedReplyError.why` begins with where the server refused the request."""


class MalformedReplyError(Exception):
    """The server sent what is no answer: worth another attempt."""


class FailedReplyError(Exception):
    """An answer that must not be learnt from, and would be no other at the next attempt; `why` is its name."""

    def __init__(self, why: str, raw: Any = None) -> None:
        super().__init__(why)
        self.why = why
        self.raw = raw
        """The response's JSON, where there was one."""


class StructuredCall(NamedTuple):
    """A tool call that the server has parsed; `arguments` is JSON text as the model wrote it."""

    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class TeacherReply:
    """One whole answer."""

    content: str
    thinking: str = ""
    thinking_field: ThinkingField = ""
    """Where the thinking stood."""
    calls: tuple[StructuredCall, ...] = ()
    finish_reason: str = "stop"
    stop: str | None = None
    """The text of the request's `stop` at which it ended, empty where at none; None where the server does not say."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def tells_usage(raw: Any) -> bool:
    """Whether an answer says how many tokens it took."""
    usage = raw.get("usage") if isinstance(raw, Mapping) else None
    return isinstance(usage, Mapping) and _is_count(usage.get("completion_tokens"))


def usage_of(raw: Any) -> tuple[int, int]:
    """(prompt tokens, completion tokens) of an answer, zeros where it does not say."""
    usage = raw.get("usage") if isinstance(raw, Mapping) else None
    if not isinstance(usage, Mapping):
        return 0, 0
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    return tuple(count if _is_count(count) else 0 for count in counts)  # type: ignore[return-value]


def _is_count(value: Any) -> bool:
    return is_number(value) and isinstance(value, int) and value >= 0


def encodable(text: str) -> str:
    """The text with a question mark for each lone surrogate, as a rollout reads it.

    JSON may hold one; no request, no file and no tokenizer can.
    """
    return text.encode("utf-8", "replace").decode()


def parse_reply(raw: Any) -> TeacherReply:
    """The answer in a response's JSON, as encodable text; MalformedReplyError or FailedReplyError where it is none."""
    choice = _first_choice(raw)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise MalformedReplyError("a choice without a message")
    finish = encodable(str(choice.get("finish_reason") or ""))
    # Cut-off thinking is sent as content by some servers, so the reason comes before the text.
    if finish in ("length", "content_filter"):
        raise FailedReplyError(finish)
    if not is_whole(finish):
        raise MalformedReplyError(f"an answer that ended with finish_reason {finish[:40]!r}")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise MalformedReplyError("a content that is no text")
    calls = _calls(message.get("tool_calls"))
    thinking, where, text = _thinking(message, encodable(content or ""))
    stop = None if (said := stopped_at(choice)) is None else encodable(said)
    if thinking and not text.strip() and stop:
        raise FailedReplyError("stopped inside the thinking")
    if not text.strip() and not calls:
        raise MalformedReplyError("an answer without content")
    prompt_tokens, completion_tokens = usage_of(raw)
    return TeacherReply(
        content=text,
        thinking=thinking,
        thinking_field=where,
        calls=calls,
        finish_reason=finish,
        stop=stop,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def _first_choice(raw: Any) -> Mapping[str, Any]:
    choices = raw.get("choices") if isinstance(raw, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise MalformedReplyError("an answer without choices")
    return choices[0]


def _calls(found: Any) -> tuple[StructuredCall, ...]:
    if not found:
        return ()
    try:
        return tuple(
            StructuredCall(*(encodable(str(call["function"][part])) for part in StructuredCall._fields))
            for call in found
        )
    except (KeyError, TypeError) as error:
        raise MalformedReplyError(f"a tool call without {error}") from error


def _thinking(message: Mapping[str, Any], content: str) -> tuple[str, ThinkingField, str]:
    """(thinking, where it stood, the rest of the text)."""
    fields: tuple[ThinkingField, ...] = ("reasoning", "reasoning_content")
    for name in fields:
        value = message.get(name)
        if isinstance(value, str) and value.strip():
            return encodable(value.strip()), name, content.strip()
    text = content.strip()
    before, closed, after = text.partition(_CLOSE)
    if text.startswith(_OPEN):
        if not closed:
            raise FailedReplyError("thinking without an end")
        return before.removeprefix(_OPEN).strip(), "inline", after.strip()
    if closed and _OPEN not in before:
        return before.strip(), "inline", after.strip()
    return "", "", text

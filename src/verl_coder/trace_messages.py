"""The messages of a trace: brought into one form, and refused where no rollout of their agent loop looks so.

In that form content is text, thinking stands at its beginning between think tags, and a tool call's arguments are an
object. What follows a turn is what the agent loop answers it with, and nothing else.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from verl_coder.protocols import PROTOCOLS, ToolProtocol
from verl_coder.words import did_you_mean

_ROLES = ("system", "user", "assistant", "tool")
_THOUGHTS = ("reasoning_content", "reasoning")
"""Where OpenAI-compatible servers put the thinking of a turn."""
_CONTROL = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|eot_id|eom_id|start_header_id|end_header_id|begin_of_text|end_of_text"
    r"|python_tag|end|user|assistant|system|start|channel|message|call|return)\|>"
    r"|<｜[^｜<>]{1,40}｜>|<(?:start|end)_of_turn>|\[/?INST\]"
)
"""Control tokens of the usual chat templates. In a message's text they mean that it was rendered for some model."""


class TraceError(ValueError):
    """A trace that cannot be trained on; the message says why, its reader says where."""


def read_messages(given: Any, agent_name: str) -> tuple[dict[str, Any], ...]:
    """The messages of one conversation of an agent loop (empty: `tool_agent`); TraceError says what is wrong."""
    if not isinstance(given, list):
        raise TraceError(f"messages is of type {type(given).__name__}: give a list of {{role, content}}")
    messages = [_message(number, message) for number, message in enumerate(given)]
    if not messages or messages[0]["role"] == "assistant":
        raise TraceError("the conversation has no prompt")
    if messages[-1]["role"] != "assistant":
        raise TraceError(f"the conversation ends with a message of role {messages[-1]['role']!r}")
    _check_turns(messages, agent_name)
    if not any(is_learnt(message) for message in messages if message["role"] == "assistant"):
        raise TraceError("every assistant message has weight 0: nothing of it is learnt")
    return tuple(messages)


def control_token(text: str) -> str:
    """The first control token of a chat template that stands in a text; empty where there is none."""
    found = _CONTROL.search(text)
    return found.group() if found else ""


def is_learnt(message: Mapping[str, Any]) -> bool:
    """Whether an assistant's message is learnt: not with `weight` 0, as in OpenAI's format of fine-tuning files."""
    return bool(message.get("weight", 1))


def answered_with(agent_name: str) -> tuple[str, ToolProtocol]:
    """(role of the messages that answer a turn in an agent loop, empty where it has one turn; one of its protocols).

    TraceError for a name that no protocol has.
    """
    name = agent_name or PROTOCOLS["tool"].agent_name
    protocol = next((one for one in PROTOCOLS.values() if one.agent_name == name), None)
    if protocol is None:
        known = sorted({one.agent_name for one in PROTOCOLS.values()})
        raise TraceError(f"agent_name {name!r} is no agent loop; {did_you_mean(name, known)}")
    if protocol.tags is None:
        return "", protocol
    return ("tool" if protocol.tags.call else "user"), protocol


def _message(number: int, given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise TraceError(f"a message is of type {type(given).__name__}: give {{role, content}}")
    message = {key: value for key, value in given.items() if value is not None and key not in _THOUGHTS}
    if message.get("role") not in _ROLES:
        raise TraceError(f"a message of role {message.get('role')!r}")
    place = f"message {number} ({message['role']})"
    message["content"] = _text(message.get("content"), place)
    if message["role"] != "assistant":
        return message
    if thoughts := [text for name in _THOUGHTS if (text := _text(given.get(name), place).strip())]:
        message["content"] = _with_thoughts(thoughts, message["content"], place)
    weight = message.get("weight", 1)
    if isinstance(weight, list | Mapping) or weight not in (0, 1):
        raise TraceError(f"a message of weight {weight}: use 1 (learnt) or 0 (only read)")
    if calls := message.pop("tool_calls", None):
        if not isinstance(calls, list):
            raise TraceError(f"{place}: tool_calls is of type {type(calls).__name__}: give a list of calls")
        message["tool_calls"] = [_call(call) for call in calls]
    elif not message["content"].strip() and weight:
        raise TraceError(f"{place} says nothing: it has neither content nor tool_calls")
    return message


def _text(content: Any, place: str) -> str:
    """A message's text, of which the OpenAI API may make a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise TraceError(f"{place}: its content is of type {type(content).__name__}: give a text")
    texts: list[str] = []
    for part in content:
        kind, text = (part.get("type"), part.get("text")) if isinstance(part, Mapping) else (None, part)
        if not isinstance(text, str) or kind not in (None, "text"):
            raise TraceError(f"{place}: its content has a part of type {kind!r}: only texts are learnt")
        texts.append(text)
    return "".join(texts)


def _with_thoughts(thoughts: Sequence[str], content: str, place: str) -> str:
    """The text that a student writes, whose thinking stands between tags."""
    if len(set(thoughts)) > 1 or "</think>" in content:
        raise TraceError(f"{place}: its thinking is there twice: keep it in one of content, {_THOUGHTS[0]}")
    return f"<think>\n{thoughts[0]}\n</think>\n\n{content.lstrip()}"


def _call(call: Any) -> dict[str, Any]:
    """An OpenAI tool call whose arguments are an object: the API sends them as JSON text, Arrow fills up with nulls."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise TraceError("one of the tool_calls has no function with a name")
    name, arguments = function["name"], function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError) as error:  # more digits, or deeper, than Python reads
            raise TraceError(
                f"tool_calls: the arguments of {name} are no JSON ({error}): {arguments[:60]!r}"
            ) from error
    elif isinstance(arguments, Mapping):
        arguments = _without_nulls(arguments)
    if not isinstance(arguments, Mapping):
        raise TraceError(f"tool_calls: the arguments of {name} are no object: {str(arguments)[:60]!r}")
    return {**_without_nulls(call), "function": {**_without_nulls(function), "arguments": arguments}}


def _without_nulls(value: Any) -> Any:
    """An object of which Arrow has made one with the keys of all rows; nested ones, too."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _check_turns(messages: Sequence[Mapping[str, Any]], agent_name: str) -> None:
    """TraceError unless each message behind the prompt is a turn, or what the agent loop answers one with."""
    role, protocol = answered_with(agent_name)
    several = role == "tool" and not protocol.in_turn  # one for each call of the turn
    first = next(number for number, message in enumerate(messages) if message["role"] == "assistant")
    for number, message in enumerate(messages):
        before = messages[number - 1]["role"] if number else ""
        if number < first and message["role"] == "tool":
            raise TraceError(f"message {number} is a tool's, and no turn of the assistant stands before it")
        if number <= first:
            continue
        if message["role"] == "assistant" and before == "assistant":
            raise TraceError(f"messages {number - 1} and {number} are two turns in a row: make them one")
        if message["role"] not in ("assistant", role):
            raise TraceError(
                f"message {number} is of role {message['role']!r}, and {protocol.agent_name} "
                f"{f'answers a turn as {role!r}' if role else 'has one turn'}: a user who speaks again, and a "
                "worked example, belong into the text of the prompt; agent_name names the loop of other turns"
            )
        if message["role"] == role == before and not several:
            raise TraceError(
                f"messages {number - 1} and {number} answer one turn: {protocol.agent_name} once"
            )
        if message["role"] == role == "user" and protocol.tags:
            opening = protocol.tags.result
            if not str(message["content"]).lstrip().startswith(opening):
                raise TraceError(
                    f"message {number} does not begin with {opening}, as an answer to a turn does"
                )

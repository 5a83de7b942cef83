"""Known conversations, of which the checks know what every stage must make."""

import json
from dataclasses import replace
from typing import Any

from verl_coder.traces import Trace

CODE = "def double(x):\n    return 2 * x"
DECOY = "print('a decoy, which is no answer')"
QUESTION = {"role": "user", "content": "Write a function double(x) that returns twice x."}


def tool_call(name: str, code: str = DECOY) -> str:
    """A call as the protocol of Hermes writes it, which the rollout's parser reads."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': {'code': code}})}\n</tool_call>"


def with_tool(name: str) -> Trace:
    """A call, its result with a block that is no answer, and the answer."""
    return _trace(
        {"role": "assistant", "content": f"I try it.\n{tool_call(name)}"},
        {"role": "tool", "content": f"```python\n{DECOY}\n```"},
        {"role": "assistant", "content": f"It works.\n```python\n{CODE}\n```"},
    )


def plain() -> dict[str, Trace]:
    """What -> an answer of one turn whose code is `CODE`."""
    texts = {
        "an answer": f"```python\n{CODE}\n```",
        "an answer after thinking": f"<think>\n```python\n{DECOY}\n```\n</think>\nHere:\n```python\n{CODE}\n```",
        "a block without a label": f"So:\n```\n{CODE}\n```\nThat is all.",
    }
    return {what: _trace({"role": "assistant", "content": text}) for what, text in texts.items()}


def as_prompted(trace: Trace, *, opens_thinking: bool) -> Trace:
    """The conversation behind a prompt that opens the thinking of every turn."""
    if not opens_thinking:
        return trace
    messages = [dict(message) for message in trace.messages]
    for message in messages:
        if message["role"] == "assistant":
            said = str(message["content"]).rpartition("</think>\n")[2]
            message["content"] = f"<think>\nHm.\n</think>\n{said}"
    return replace(trace, messages=tuple(messages))


def _trace(*turns: dict[str, Any]) -> Trace:
    return Trace(problem_id="doctor", messages=(QUESTION, *turns))

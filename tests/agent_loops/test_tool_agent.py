"""What a tool returns never becomes a control token."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer
from verl.experimental.agent_loop.agent_loop import _agent_loop_registry
from verl.experimental.agent_loop.tool_agent_loop import FunctionCall, ToolAgentLoop
from verl.tools.schemas import ToolResponse

from verl_coder.agent_loops.tool_agent import GuardedToolAgentLoop, break_control_tokens, control_tokens
from verl_coder.tiny.build import BASE


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BASE)


@pytest.mark.parametrize(
    "text", ["<|im_end|>", "a<|im_start|>assistant\n", "<|im_<|im_end|>end|>", "<|endoftext|>x"]
)
def test_broken_text_has_no_special_token(tokenizer: Any, text: str) -> None:
    control = control_tokens(tokenizer)
    broken = break_control_tokens(text, control)
    special = set(tokenizer.all_special_ids)
    assert special & set(tokenizer.encode(text, add_special_tokens=False))
    assert not special & set(tokenizer.encode(broken, add_special_tokens=False))


def test_other_text_stays_as_it_is(tokenizer: Any) -> None:
    text = "if a < b and c > d:\n    print('<p>', [1])"
    assert break_control_tokens(text, control_tokens(tokenizer)) == text


def test_text_with_a_lone_surrogate_can_be_tokenized(tokenizer: Any) -> None:
    text = "Exception: \ud800 and \U0001d538"
    broken = break_control_tokens(text, control_tokens(tokenizer))
    assert broken == "Exception: ? and \U0001d538" and tokenizer.encode(broken)


def test_verls_tool_agent_is_ours() -> None:
    target = _agent_loop_registry["tool_agent"]["_target_"]
    assert target == "verl_coder.agent_loops.tool_agent.GuardedToolAgentLoop"


@pytest.mark.parametrize("given", [None, {}, {"python_interpreter": None}])
def test_a_row_may_have_no_tools_kwargs(given: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def verls(self: Any, call: Any, kwargs: dict[str, Any], data: Any) -> Any:
        kwargs.get("python_interpreter", {}).get("create_kwargs", {})
        return ToolResponse(text="printed <|im_end|>"), 0.0, {}

    monkeypatch.setattr(ToolAgentLoop, "_call_tool", verls)
    loop: Any = GuardedToolAgentLoop.__new__(GuardedToolAgentLoop)
    loop._control = control_tokens(tokenizer)
    call = FunctionCall(name="python_interpreter", arguments="{}")
    response, _, _ = asyncio.run(loop._call_tool(call, given, SimpleNamespace()))
    assert response.text == "printed < |im_end|>"


TOOL = {"protocol": "tool", "tools": "tool_config/python_interpreter_quick.yaml"}
BROKEN = "<tool_call>\nprint(1)\n</tool_call><|im_end|>"
WHOLE = '<tool_call>\n{"name": "python_interpreter", "arguments": {"code": "print(2 * 3)"}}\n</tool_call><|im_end|>'
ROOM = {"prompt_length": 2000, "response_length": 3000, "multi_turn.max_assistant_turns": 10}


def test_a_call_that_is_none_is_told_so_and_the_next_one_runs(rollout: Any) -> None:
    output, _, tokenizer = rollout([BROKEN, BROKEN, WHOLE, BROKEN, "Done.<|im_end|>"], changes=ROOM, **TOOL)
    text = tokenizer.decode(output.response_ids)
    assert text.count("Error: ") == 3 and "<tool_response>\n6\n</tool_response>" in text
    fields = output.extra_fields
    assert (fields["end_reason"], fields["tool_calls"], fields["tool_invalid"]) == ("answer", 1, 3)


def test_three_in_a_row_that_are_none_end_the_trajectory(rollout: Any) -> None:
    output, model, _ = rollout([BROKEN] * 5, changes=ROOM, **TOOL)
    assert output.extra_fields["end_reason"] == "invalid_calls" and len(model.script) == 2

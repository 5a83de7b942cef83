"""The calls of a trace are those that a rollout would find, answered one by one."""

from typing import Any

import pytest

from verl_coder.agent_loops.tool_calls import surplus
from verl_coder.protocols import hermes_call, tool_call
from verl_coder.trace_calls import check_calls, hermes_mistakes
from verl_coder.trace_messages import TraceError

ASK = {"role": "user", "content": "Double 21."}
ANSWER = {"role": "assistant", "content": "42"}
NAME = "python_interpreter"
PARAMETERS: Any = {NAME: {"properties": {"code": {"type": "string"}}, "required": ["code"]}}
CALL = tool_call(NAME, "print(42)")
PROGRAM = "<program>\nprint(42)\n</program>"


def said(text: str, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **fields}


def printed(text: str = "42") -> dict[str, Any]:
    return {"role": "tool", "content": text}


def structured(name: str = NAME, **arguments: Any) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return said("", tool_calls=[call])


def check(*messages: dict[str, Any], agent: str = "tool_agent", parameters: Any = PARAMETERS) -> None:
    texts = {n: m["content"] for n, m in enumerate(messages) if m["role"] == "assistant"}
    check_calls(messages, agent, texts, hermes_mistakes(parameters))


@pytest.mark.parametrize(
    "turns",
    [
        [ANSWER],
        [said(CALL), printed(), ANSWER],
        [said(f"{CALL}\n{CALL}"), printed(), printed(), ANSWER],
        [said(f"<think>{CALL}</think>\n{CALL}"), printed(), ANSWER],
        [structured(code="print(42)"), printed(), ANSWER],
        [said(tool_call("python", "1")), printed("Error: no tool 'python'"), ANSWER],
        [said(tool_call("python", "1"), weight=0), printed(), ANSWER],
        [said("<tool_call>\n{]\n</tool_call>", weight=0), printed(), ANSWER],
        [said(f"{CALL}\n" * 3), printed(), printed(f"Error: {surplus(1, 3)}"), ANSWER],
    ],
)
@pytest.mark.parametrize("agent", ["", "tool_agent", "session_agent"])
def test_what_a_rollout_may_look_like_is_taken(turns: list[dict[str, Any]], agent: str) -> None:
    check(ASK, *turns, agent=agent)


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        (
            [said("Let me see."), printed(), ANSWER],
            "a tool answers message 1, in which .* finds no tool call",
        ),
        (
            [said(tool_call("code_interpreter", "1")), printed(), ANSWER],
            "message 1 .* `Error: no tool 'code_inter",
        ),
        (
            [said(hermes_call(NAME, {"source": "1"})), printed(), ANSWER],
            "message 1 .* lacks the argument 'code'.*, and message 2 is another answer",
        ),
        ([structured(source="1"), printed(), ANSWER], "message 1 .* lacks the argument 'code'"),
        ([said("<tool_call>\n{]\n</tool_call>"), printed(), ANSWER], "`Error: the call is no JSON"),
        ([said(CALL), printed(), printed(), ANSWER], "has 1 call, and a tool answers it with 2 messages"),
        ([said(f"{CALL}\n{CALL}"), printed(), ANSWER], "has 2 calls, and a tool answers it with 1 message:"),
        ([said(CALL)], "message 1 ends the conversation with a call"),
        ([said(CALL), printed(), structured(code="1")], "message 3 ends the conversation with a call"),
    ],
)
def test_what_no_rollout_looks_like_is_refused(turns: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        check(ASK, *turns)


def test_without_known_tools_a_call_may_be_of_any() -> None:
    check(ASK, said(tool_call("other", "1")), printed(), ANSWER, parameters={})


@pytest.mark.parametrize("agent", ["single_turn_agent", "feedback_agent"])
def test_a_loop_that_calls_no_tool_may_write_what_it_likes(agent: str) -> None:
    check(ASK, said(CALL), agent=agent)


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([said(PROGRAM)], "message 1 has </program> and no answer of a tool behind it"),
        ([said(f"{PROGRAM}\n{PROGRAM}"), printed(), ANSWER], "message 1 has </program> twice"),
        ([said("print(42)\n</program>"), printed(), ANSWER], "no <program> stands before it"),
    ],
)
def test_a_program_ends_its_turn_and_is_answered(turns: list[dict[str, Any]], message: str) -> None:
    check(ASK, said(PROGRAM), printed(), ANSWER, agent="program_agent")
    with pytest.raises(TraceError, match=message):
        check(ASK, *turns, agent="program_agent")

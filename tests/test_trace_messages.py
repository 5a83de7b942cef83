"""A trace's messages are brought into one form, and what no rollout of their loop looks like is refused."""

from typing import Any

import pytest

from verl_coder.protocols import PROTOCOLS
from verl_coder.trace_messages import TraceError, answered_with, is_learnt, read_messages

ASK = {"role": "user", "content": "Double 21."}
ANSWER = {"role": "assistant", "content": "42"}
PRINTED = {"role": "tool", "content": "42"}
WRONG = {"role": "user", "content": "<feedback>\ntest 1: failed\n</feedback>"}


def _parts(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "image_url": None} for text in texts]


def _calls(arguments: Any) -> dict[str, Any]:
    call = {
        "id": None,
        "type": "function",
        "function": {"name": "python_interpreter", "arguments": arguments},
    }
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def test_a_list_of_texts_is_their_text_in_every_role() -> None:
    given = [
        {"role": "user", "content": _parts("Double ", "21.")},
        {"role": "assistant", "content": _parts("I run it.")},
        {"role": "tool", "content": _parts("42")},
        {"role": "assistant", "content": ["4", "2"]},
    ]
    assert [m["content"] for m in read_messages(given, "")] == ["Double 21.", "I run it.", "42", "42"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [{"type": "image_url", "image_url": "x"}],
            r"message 1 \(assistant\): .* a part of type 'image_url'",
        ),
        ([{"type": "text"}], "a part of type 'text'"),
        ({"text": "x"}, "its content is of type dict"),
        (3, "its content is of type int"),
        ("", "says nothing"),
        (None, "says nothing"),
    ],
)
def test_content_that_is_no_text_is_refused(content: Any, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_messages([ASK, {"role": "assistant", "content": content}], "single_turn_agent")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_of_its_own_field_stands_before_every_turns_text(field: str) -> None:
    first, last = {**_calls({"code": "1"}), field: "Try."}, {**ANSWER, field: "Good.\n"}
    found = read_messages([ASK, first, PRINTED, last], "tool_agent")
    assert found[1]["content"] == "<think>\nTry.\n</think>\n\n" and found[1]["tool_calls"]
    assert found[3] == {"role": "assistant", "content": "<think>\nGood.\n</think>\n\n42"}


def test_thinking_that_is_there_twice_is_refused() -> None:
    twice = {"role": "assistant", "content": "<think>a</think>42", "reasoning_content": "a"}
    with pytest.raises(TraceError, match=r"message 1 \(assistant\): its thinking is there twice"):
        read_messages([ASK, twice], "")


@pytest.mark.parametrize(
    "arguments", ['{"code": "1"}', {"code": "1", "commands": None}, {"code": "1", "more": None}]
)
def test_a_calls_arguments_are_an_object_without_what_arrow_adds(arguments: Any) -> None:
    found = read_messages([ASK, _calls(arguments), PRINTED, ANSWER], "tool_agent")
    assert found[1]["tool_calls"] == [
        {"type": "function", "function": {"name": "python_interpreter", "arguments": {"code": "1"}}}
    ]


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ("x", "tool_calls is of type str"),
        ([None], "no function with a name"),
        ([{"function": {"name": "f", "arguments": "{"}}], "the arguments of f are no JSON"),
        ([{"function": {"name": "f", "arguments": "[1]"}}], "the arguments of f are no object"),
        (
            [{"function": {"name": "f", "arguments": f'{{"n": {"1" * 5000}}}'}}],
            "the arguments of f are no JSON",
        ),
        ([{"function": {"name": "f", "arguments": "[" * 100_000}}], "the arguments of f are no JSON"),
    ],
)
def test_a_call_that_nobody_can_write_is_refused(calls: Any, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_messages([ASK, {**ANSWER, "tool_calls": calls}, PRINTED, ANSWER], "")


def test_a_tool_that_returned_nothing_has_an_empty_text() -> None:
    found = read_messages([ASK, ANSWER, {"role": "tool", "content": None}, ANSWER], "tool_agent")
    assert found[2]["content"] == ""


@pytest.mark.parametrize("weight", [[1], {"a": 1}, 2, "1", float("nan")])
def test_a_weight_that_is_neither_0_nor_1_is_refused(weight: Any) -> None:
    with pytest.raises(TraceError, match=r"a message of weight .*: use 1"):
        read_messages([ASK, {**ANSWER, "weight": weight}], "")


def test_a_weight_of_0_is_read_and_not_learnt() -> None:
    found = read_messages([ASK, {**ANSWER, "weight": 0}, PRINTED, ANSWER], "")
    assert [is_learnt(found[1]), is_learnt(found[3])] == [False, True]


SHAPES = {
    "tool": [ASK, ANSWER, PRINTED, ANSWER],
    "user": [ASK, ANSWER, WRONG, ANSWER],
    "": [ASK, ANSWER],
}


@pytest.mark.parametrize("agent", ["", *dict.fromkeys(one.agent_name for one in PROTOCOLS.values())])
def test_a_loop_takes_its_own_conversations_and_refuses_those_of_another_kind(agent: str) -> None:
    role, protocol = answered_with(agent)
    for kind, messages in SHAPES.items():
        if kind in (role, ""):
            assert len(read_messages(messages, agent)) == len(messages)
        else:
            with pytest.raises(TraceError, match=f"message 2 is of role '{kind}', and {protocol.agent_name}"):
                read_messages(messages, agent)


def test_each_call_of_a_turn_may_have_its_result() -> None:
    assert len(read_messages([ASK, ANSWER, PRINTED, PRINTED, ANSWER], "tool_agent")) == 5


@pytest.mark.parametrize(
    ("messages", "agent", "message"),
    [
        ([ASK, ANSWER, ANSWER], "tool_agent", "messages 1 and 2 are two turns in a row"),
        ([ASK, ANSWER, ANSWER], "program_agent", "messages 1 and 2 are two turns in a row"),
        (
            [ASK, ANSWER, ASK, ANSWER],
            "",
            "message 2 is of role 'user'.* worked example, belong into the text",
        ),
        ([ASK, ANSWER, ASK, ANSWER], "feedback_agent", "message 2 does not begin with <feedback>"),
        ([ASK, ANSWER, {**ASK, "role": "system"}, ANSWER], "tool_agent", "message 2 is of role 'system'"),
        ([ASK, PRINTED, ANSWER], "tool_agent", "message 1 is a tool's"),
        ([ASK, ANSWER, PRINTED, PRINTED, ANSWER], "program_agent", "messages 2 and 3 answer one turn"),
        ([ASK, ANSWER], "program_agnet", "agent_name 'program_agnet' is no agent loop; .*program_agent"),
        ([ASK, None], "", "a message is of type NoneType"),
        ("x", "", "messages is of type str"),
    ],
)
def test_a_shape_that_no_rollout_has_is_named_with_its_place(messages: Any, agent: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_messages(messages, agent)

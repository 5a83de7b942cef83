"""An answer is taken apart whichever way the server sends it, and one that is not whole is none."""

from typing import Any

import pytest

from verl_coder.teacher.replies import (
    FailedReplyError,
    MalformedReplyError,
    parse_reply,
    tells_usage,
    usage_of,
)


def raw(finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "choices": [{"finish_reason": finish, "message": {"role": "assistant", **message}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5},
    }


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"content": "\n\nanswer", "reasoning": "thought\n"}, "reasoning"),
        ({"content": "answer", "reasoning_content": "thought"}, "reasoning_content"),
        ({"content": "answer", "reasoning": "thought", "reasoning_content": "thought"}, "reasoning"),
        ({"content": "<think>\nthought\n</think>\n\nanswer"}, "inline"),
        ({"content": "thought\n</think>\n\nanswer"}, "inline"),
        ({"content": "<think>thought</think>answer", "reasoning": None}, "inline"),
    ],
)
def test_thinking_is_found_wherever_the_server_puts_it(message: dict[str, Any], field: str) -> None:
    reply = parse_reply(raw(**message))
    assert (reply.thinking, reply.content, reply.thinking_field) == ("thought", "answer", field)


def test_a_text_without_thinking_is_left_as_it_is() -> None:
    reply = parse_reply(raw(content="I write <think> and </think> in a sentence."))
    assert reply.thinking == "" and reply.content.startswith("I write <think>")


def test_an_answer_that_was_cut_off_is_a_failure_whatever_it_holds() -> None:
    for message in ({"content": "half a thought"}, {"content": None, "reasoning": "half"}, {"content": "x"}):
        with pytest.raises(FailedReplyError, match="length"):
            parse_reply(raw("length", **message))


@pytest.mark.parametrize(
    ("fields", "stop"),
    [
        ({}, None),
        ({"stop_reason": None}, ""),
        ({"stop_reason": 151645}, ""),
        ({"stop_reason": "</program>"}, "</program>"),
        ({"matched_stop": 151645}, ""),
        ({"matched_stop": "</program>"}, "</program>"),
    ],
)
def test_where_an_answer_stopped_is_known_where_the_server_says_it(
    fields: dict[str, Any], stop: str | None
) -> None:
    answer = raw(content="x")
    answer["choices"][0] |= fields
    assert parse_reply(answer).stop == stop


def test_a_stop_inside_the_thinking_is_a_failure_and_not_asked_again() -> None:
    answer = raw(content=None, reasoning="I may write <program>\n1\n")
    answer["choices"][0]["stop_reason"] = "</program>"
    with pytest.raises(FailedReplyError, match="stopped inside the thinking"):
        parse_reply(answer)


def test_thinking_that_never_ends_is_a_failure() -> None:
    with pytest.raises(FailedReplyError, match="without an end"):
        parse_reply(raw(content="<think>and so on"))


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": []},
        {"error": "x"},
        [],
        None,
        {"choices": [{"finish_reason": "stop"}]},
        raw(content=None),
        raw(content=" \n"),
        raw(content=None, reasoning="only a thought"),
        raw(content=["parts"]),
        raw(content="", tool_calls=[{"function": {"name": "f"}}]),
    ],
)
def test_what_is_no_answer_is_worth_another_attempt(answer: Any) -> None:
    with pytest.raises(MalformedReplyError):
        parse_reply(answer)


def test_tool_calls_are_an_answer_without_content() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "run", "arguments": '{"code": "1"}'}}
    reply = parse_reply(raw("tool_calls", content=None, tool_calls=[call]))
    assert reply.calls == (("run", '{"code": "1"}'),) and reply.content == ""


def test_half_of_a_surrogate_pair_which_no_file_holds_is_a_question_mark() -> None:
    call = {"function": {"name": "r\ud83d", "arguments": '{"code": "\ude00"}'}}
    for field in ("reasoning", "reasoning_content"):
        reply = parse_reply(raw("tool_calls", content="a\ud83d", tool_calls=[call], **{field: "t\ud83d"}))
        assert (reply.content, reply.thinking, reply.finish_reason) == ("a?", "t?", "tool_calls")
        assert reply.calls == (("r?", '{"code": "?"}'),)
    assert parse_reply(raw(content="<think>t\ud83d</think>a \U0001f600")).thinking == "t?"
    assert parse_reply(raw(content="a \U0001f600")).content == "a \U0001f600"


def test_usage_is_counted_and_its_absence_is_zero() -> None:
    assert usage_of(raw(content="x")) == (7, 5)
    assert usage_of({"choices": []}) == usage_of({"usage": None}) == usage_of([]) == (0, 0)
    assert usage_of({"usage": {"prompt_tokens": 3}}) == (3, 0)


@pytest.mark.parametrize("reason", ["abort", "error", "insufficient_system_resource"])
def test_an_answer_that_was_broken_off_is_asked_again(reason: str) -> None:
    raw = {"choices": [{"finish_reason": reason, "message": {"content": "half an ans"}}]}
    with pytest.raises(MalformedReplyError, match=reason):
        parse_reply(raw)


@pytest.mark.parametrize("count", [float("nan"), True, -3, "5", None, 1.5, 10**400])
def test_a_count_of_tokens_that_is_none_counts_nothing(count: Any) -> None:
    answer = {"usage": {"prompt_tokens": 7, "completion_tokens": count}}
    assert usage_of(answer) == (7, 0) and not tells_usage(answer)

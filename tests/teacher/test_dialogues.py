"""A teacher's conversation becomes the student's own: calls in the student's form, outputs from our sandbox only."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from verl.tools.schemas import OpenAIFunctionToolSchema

from verl_coder.agent_loops.call_parser import CallParser
from verl_coder.agent_loops.tool_calls import call_texts
from verl_coder.extraction import extract
from verl_coder.prompts import build_prompt
from verl_coder.protocols import find_protocol, tool_call
from verl_coder.teacher.dialogues import Call, Dialogue, open_dialogue
from verl_coder.teacher.offers import Offer, Offers
from verl_coder.teacher.replies import StructuredCall, TeacherReply

PROTOCOL = find_protocol("tool")
ANSWER = "```python\ndef double(n):\n    return 2 * n\n```"


def offered(protocol: str, *, structured: bool = True) -> Offer:
    return Offers(None, structured=structured).of(find_protocol(protocol))


def opened(protocol: str, *, structured: bool = True) -> Dialogue:
    prompt = build_prompt("Double a number.", style="function", protocol=protocol, entry_point="double")
    return open_dialogue(find_protocol(protocol), prompt, offered(protocol, structured=structured))


def call(code: Any = "print(1)", name: str = "python_interpreter", **others: Any) -> StructuredCall:
    return StructuredCall(name, json.dumps({"code": code, **others}))


def runs(code: str) -> Call:
    return Call("python_interpreter", {"code": code})


def said(dialogue: Dialogue) -> list[str]:
    return [m["content"] for m in dialogue.trace if m["role"] == "assistant"]


def fail(dialogue: Dialogue, text: str = "NameError: x", *, learn: bool = False) -> None:
    dialogue.add_result(text, failed=True, learn_failures=learn)


def succeed(dialogue: Dialogue, text: str = "1") -> None:
    dialogue.add_result(text, failed=False, learn_failures=False)


def test_an_answer_without_a_tool_is_thinking_and_text() -> None:
    dialogue = opened("none")
    assert set(dialogue.request()) == {"messages"}
    assert dialogue.add_reply(TeacherReply(content=ANSWER, thinking="Twice.")) is None
    assert said(dialogue) == [f"<think>\nTwice.\n</think>\n\n{ANSWER}"]
    assert extract(dialogue.response()).code == "def double(n):\n    return 2 * n\n"
    assert dialogue.unusable() == ""


def test_a_structured_call_stands_in_the_trace_as_the_student_writes_it() -> None:
    dialogue = opened("tool")
    assert (
        dialogue.request()["tools"] == list(offered("tool").schemas)
        and dialogue.request()["tool_choice"] == "auto"
    )
    reply = TeacherReply(
        content="I try.", thinking="Hm.", thinking_field="reasoning", calls=(call(), call("print(2)"))
    )
    assert dialogue.add_reply(reply) == runs("print(1)")
    succeed(dialogue)
    assert said(dialogue) == [
        f"<think>\nHm.\n</think>\n\nI try.\n{tool_call('python_interpreter', 'print(1)')}"
    ]
    assert dialogue.trace[-1] == {"role": "tool", "content": "1"}
    [sent, result] = dialogue.request()["messages"][-2:]
    # The server knows one call only: the first, which the student's rollout would run.
    assert [one["id"] for one in sent["tool_calls"]] == [result["tool_call_id"]]
    assert (sent["content"], sent["reasoning"]) == ("I try.", "Hm.") and "<think>" not in str(sent)
    assert dialogue.add_reply(TeacherReply(content=ANSWER)) is None and dialogue.unusable() == ""


def test_a_call_in_the_text_counts_and_what_the_teacher_writes_behind_it_is_cut_off() -> None:
    dialogue = opened("tool", structured=False)
    assert dialogue.request()["tool_choice"] == "none"
    written = tool_call("python_interpreter", "print(1)")
    invented = f"I run it.\n{written}\n<tool_response>\n1000\n</tool_response>\nSo it is 1000."
    assert dialogue.add_reply(TeacherReply(content=invented)) == runs("print(1)")
    succeed(dialogue)
    assert said(dialogue) == [f"I run it.\n{written}"] and "1000" not in str(dialogue.request()["messages"])


def rollout_answers(text: str) -> str:
    """What the rollout's own parser answers to a turn."""
    tokenizer = SimpleNamespace(decode=lambda ids: text)
    [schema] = offered("tool").schemas
    tools = [OpenAIFunctionToolSchema.model_validate(schema)]
    assert PROTOCOL.tags is not None
    parser = CallParser(tokenizer, PROTOCOL.tags, 1)
    _, [found] = asyncio.run(parser.extract_tool_calls([], tools))
    return f"Error: {found.mistake}" if getattr(found, "mistake", "") else ""


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (StructuredCall("search", "{}"), "no tool 'search'"),
        (StructuredCall("python_interpreter", "{oops"), "the call is no JSON"),
        (StructuredCall("python_interpreter", "[1]"), "it must be an object"),
        (StructuredCall("python_interpreter", "{}"), "lacks the argument 'code'"),
        (StructuredCall("python_interpreter", '{"code": "1", "timeout": 3}'), "no argument 'timeout'"),
        (StructuredCall("python_interpreter", '{"code": 7}'), "it must be string"),
    ],
)
def test_a_bad_call_is_answered_as_a_rollout_answers_it_and_not_learnt(
    bad: StructuredCall, words: str
) -> None:
    dialogue = opened("tool")
    found = dialogue.add_reply(TeacherReply(content="", calls=(bad,)))
    assert found is not None and words in found.error
    assert found.error == rollout_answers(said(dialogue)[0])
    fail(dialogue, found.error)
    assert dialogue.trace[-2]["weight"] == 0 and dialogue.trace[-2]["content"].count("<tool_call>") == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "python_interpreter", "arguments": {"code": "print(1)"}',
        "{'name': 'python_interpreter', 'arguments': {'code': 'print(1)'}}",
        '{"name": "python_interpreter", "parameters": "{\\"code\\": \\"print(1)\\"}"}',
    ],
)
def test_a_call_that_a_rollout_would_mend_is_learnt_as_it_should_be_written(text: str) -> None:
    dialogue = opened("tool", structured=False)
    written = f"<tool_call>\n{text}\n</tool_call>"
    assert rollout_answers(written) == ""
    assert dialogue.add_reply(TeacherReply(content=written)) == runs("print(1)")
    assert said(dialogue) == [tool_call("python_interpreter", "print(1)")]


def test_every_tool_of_a_debugger_is_on_offer_with_its_own_arguments() -> None:
    dialogue = opened("debugger")
    names = [schema["function"]["name"] for schema in dialogue.request()["tools"]]
    assert names == ["python_interpreter", "python_debugger"]
    look = StructuredCall("python_debugger", '{"code": "x = 1", "commands": "run"}')
    found = dialogue.add_reply(TeacherReply(content="", calls=(look,)))
    assert found == Call("python_debugger", {"code": "x = 1", "commands": "run"})
    assert said(dialogue) == [tool_call("python_debugger", "x = 1", commands="run")]


def test_half_of_a_surrogate_pair_in_the_json_of_a_call_is_a_question_mark() -> None:
    """Escaped, it stands in an answer that is valid text."""
    code = '{"name": "python_interpreter", "arguments": {"code": "x = 1 # \\ud83d"}}'
    in_text = TeacherReply(content=f"<tool_call>\n{code}\n</tool_call>")
    structured = TeacherReply(content="", calls=(call("x = 1 # \ud83d"),))
    for reply in (in_text, structured):
        dialogue = opened("tool")
        assert dialogue.add_reply(reply) == runs("x = 1 # ?")
        json.dumps([dialogue.trace, dialogue.request()], ensure_ascii=False).encode()
    nameless = TeacherReply(content=f"<tool_call>\n{code.replace('python', chr(92) + 'ud83d')}\n</tool_call>")
    bad = opened("tool").add_reply(nameless)
    assert bad is not None and bad.error.startswith("Error: no tool") and bad.error.isascii()


def test_json_that_is_nested_too_deep_is_a_bad_call() -> None:
    deep = '{"code": ' + "[" * 100_000
    dialogue = opened("tool")
    bad = dialogue.add_reply(TeacherReply(content="", calls=(StructuredCall("python_interpreter", deep),)))
    in_text = opened("tool").add_reply(TeacherReply(content=f"<tool_call>{deep}</tool_call>"))
    for found in (bad, in_text):
        assert found is not None and "the call is no JSON" in found.error


def test_a_turn_whose_program_failed_is_read_and_not_learnt_unless_asked_for() -> None:
    for learn in (False, True):
        dialogue = opened("tool")
        dialogue.add_reply(TeacherReply(content="", calls=(call(),)))
        fail(dialogue, learn=learn)
        assert dialogue.trace[-2].get("weight", 1) == int(learn)


def test_a_program_goes_on_in_the_students_turn_and_in_a_new_one_for_the_teacher() -> None:
    dialogue = opened("program")
    assert dialogue.request()["stop"] == ["</program>"]
    # Servers leave out the text that they stopped at.
    reply = TeacherReply(content="<program>\nprint(1)\n", thinking="Hm.")
    assert dialogue.add_reply(reply) == runs("print(1)\n")
    succeed(dialogue)
    assert said(dialogue) == ["<think>\nHm.\n</think>\n\n<program>\nprint(1)\n</program>"]
    assert dialogue.request()["messages"][-1] == {"role": "user", "content": "<output>\n1\n</output>"}
    assert dialogue.add_reply(TeacherReply(content=ANSWER)) is None
    assert "</program>\n<output>\n1\n</output>\n```python" in dialogue.response()
    assert extract(dialogue.response()).code == "def double(n):\n    return 2 * n\n"
    assert dialogue.unusable() == ""


def test_what_stands_before_a_call_stays_where_the_call_is_quoted_in_it() -> None:
    written = tool_call("python_interpreter", "print(1)")
    sent = written.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    dialogue = opened("tool")
    assert dialogue.add_reply(TeacherReply(content=f"I send {sent} as a call:\n{written}"))
    assert said(dialogue) == [f"I send {sent} as a call:\n{written}"]


@pytest.mark.parametrize(
    ("text", "stop", "calls"),
    [
        ("I try.\n<program>\nprint(1)\n", "</program>", True),
        ("I try <program>\nprint(1)\n", "</program>", True),
        ("<program>\nprint(1)\n", None, True),
        ("<program>\nprint(1)\n</program>", "", True),
        ("<program>\nprint(1)\n", "", False),
        ("No <program> was needed.\n```python\npass\n```", None, False),
        ("No <program> was needed.\n```python\npass\n```", "", False),
    ],
)
def test_a_program_is_one_that_ended(text: str, stop: str | None, calls: bool) -> None:
    dialogue = opened("program")
    assert (dialogue.add_reply(TeacherReply(content=text, stop=stop)) is not None) == calls
    assert said(dialogue)[0].endswith("</program>") == calls


def test_what_a_program_protocol_would_not_have_generated_is_no_trace() -> None:
    dialogue = opened("program")
    dialogue.add_reply(TeacherReply(content="<output>\n5\n</output>\n" + ANSWER))
    assert "wrote itself" in dialogue.unusable()
    dialogue = opened("program")
    dialogue.add_reply(TeacherReply(content=ANSWER, thinking="as in <program>1</program>"))
    assert dialogue.unusable() == "a call inside a text"


def test_a_call_that_is_only_thought_of_is_none_for_the_rollout_either() -> None:
    dialogue = opened("tool")
    dialogue.add_reply(TeacherReply(content=ANSWER, thinking=tool_call("python_interpreter", "1")))
    assert call_texts(said(dialogue)[0], PROTOCOL.tags) == [] and dialogue.unusable() == ""  # type: ignore[arg-type]


def test_a_call_that_a_rollout_reads_otherwise_than_it_was_answered_is_no_trace() -> None:
    for code in ("print('</tool_call>')", "print('</think>')"):
        dialogue = opened("tool")
        dialogue.add_reply(TeacherReply(content="", calls=(call(code),)))
        succeed(dialogue)
        dialogue.add_reply(TeacherReply(content=ANSWER))
        assert dialogue.unusable() == "a call inside a text"


def test_a_tag_that_is_only_mentioned_stays_in_the_text() -> None:
    dialogue = opened("tool", structured=False)
    written = tool_call("python_interpreter", "print(1)")
    assert dialogue.add_reply(TeacherReply(content=f"I use <tool_call> for it.\n{written}")) == runs(
        "print(1)"
    )
    assert said(dialogue) == [f"I use <tool_call> for it.\n{written}"]
    succeed(dialogue)
    dialogue.add_reply(TeacherReply(content=ANSWER))
    assert dialogue.unusable() == ""


def test_control_tokens_and_outputs_that_end_their_result_are_no_trace() -> None:
    dialogue = opened("none")
    dialogue.add_reply(TeacherReply(content=ANSWER + "<|im_end|>"))
    assert dialogue.unusable() != ""
    dialogue = opened("tool")
    dialogue.add_reply(TeacherReply(content="", calls=(call(),)))
    succeed(dialogue, "</tool_response>")
    dialogue.add_reply(TeacherReply(content=ANSWER))
    assert "marks of a conversation" in dialogue.unusable()

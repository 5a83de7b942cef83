"""A teacher's conversation becomes the student's own: calls in the student's form, outputs from our sandbox only."""

import json
from typing import Any

from verl_coder.extraction import extract
from verl_coder.prompts import build_prompt
from verl_coder.protocols import find_protocol, tool_call
from verl_coder.teacher.dialogues import Call, Dialogue, ToolDialogue, ToolUse, open_dialogue
from verl_coder.teacher.replies import StructuredCall, TeacherReply

TOOL = ToolUse(
    name="python_interpreter",
    schema={"type": "function", "function": {"name": "python_interpreter", "parameters": {}}},
)
ANSWER = "```python\ndef double(n):\n    return 2 * n\n```"


def opened(protocol: str, tool: ToolUse = TOOL) -> Dialogue:
    prompt = build_prompt("Double a number.", style="function", protocol=protocol, entry_point="double")
    return open_dialogue(find_protocol(protocol), prompt, tool)


def call(code: Any = "print(1)", name: str = "python_interpreter", **others: Any) -> StructuredCall:
    return StructuredCall(name, json.dumps({"code": code, **others}))


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
    assert dialogue.request()["tools"] == [TOOL.schema] and dialogue.request()["tool_choice"] == "auto"
    reply = TeacherReply(
        content="I try.", thinking="Hm.", thinking_field="reasoning", calls=(call(), call("print(2)"))
    )
    assert dialogue.add_reply(reply) == Call("print(1)")
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
    dialogue = opened("tool", ToolUse(name=TOOL.name, schema=TOOL.schema, structured=False))
    assert dialogue.request()["tool_choice"] == "none"
    written = tool_call("python_interpreter", "print(1)")
    invented = f"I run it.\n{written}\n<tool_response>\n1000\n</tool_response>\nSo it is 1000."
    assert dialogue.add_reply(TeacherReply(content=invented)) == Call("print(1)")
    succeed(dialogue)
    assert said(dialogue) == [f"I run it.\n{written}"] and "1000" not in str(dialogue.request()["messages"])


def test_a_bad_call_is_answered_as_a_rollout_answers_it_and_not_learnt() -> None:
    for bad, words in (
        (StructuredCall("search", "{}"), "Unknown function 'search'"),
        (StructuredCall("python_interpreter", "{oops"), "Invalid JSON in arguments"),
        (call(7), 'the argument "code" must be a string'),
    ):
        dialogue = opened("tool")
        found = dialogue.add_reply(TeacherReply(content="", calls=(bad,)))
        assert found is not None and found.code is None and words in found.error
        fail(dialogue, found.error)
        assert dialogue.trace[-2]["weight"] == 0 and dialogue.trace[-2]["content"].count("<tool_call>") == 1


def test_half_of_a_surrogate_pair_in_the_json_of_a_call_is_a_question_mark() -> None:
    """Escaped, it stands in an answer that is valid text."""
    code = '{"name": "python_interpreter", "arguments": {"code": "x = 1 # \\ud83d"}}'
    in_text = TeacherReply(content=f"<tool_call>\n{code}\n</tool_call>")
    structured = TeacherReply(content="", calls=(call("x = 1 # \ud83d"),))
    for reply in (in_text, structured):
        dialogue = opened("tool")
        assert dialogue.add_reply(reply) == Call("x = 1 # ?")
        json.dumps([dialogue.trace, dialogue.request()], ensure_ascii=False).encode()
    nameless = TeacherReply(content=f"<tool_call>\n{code.replace('python', chr(92) + 'ud83d')}\n</tool_call>")
    assert "Unknown function '?_interpreter'" in str(opened("tool").add_reply(nameless))


def test_json_that_is_nested_too_deep_is_a_bad_call() -> None:
    deep = '{"code": ' + "[" * 100_000
    dialogue = opened("tool")
    bad = dialogue.add_reply(TeacherReply(content="", calls=(StructuredCall("python_interpreter", deep),)))
    assert bad is not None and bad.code is None and "Invalid JSON" in bad.error
    assert opened("tool").add_reply(TeacherReply(content=f"<tool_call>{deep}</tool_call>")) is None


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
    assert dialogue.add_reply(reply) == Call("print(1)\n")
    succeed(dialogue)
    assert said(dialogue) == ["<think>\nHm.\n</think>\n\n<program>\nprint(1)\n</program>"]
    assert dialogue.request()["messages"][-1] == {"role": "user", "content": "<output>\n1\n</output>"}
    assert dialogue.add_reply(TeacherReply(content=ANSWER)) is None
    assert "</program>\n<output>\n1\n</output>\n```python" in dialogue.response()
    assert extract(dialogue.response()).code == "def double(n):\n    return 2 * n\n"
    assert dialogue.unusable() == ""


def test_what_a_program_protocol_would_not_have_generated_is_no_trace() -> None:
    dialogue = opened("program")
    dialogue.add_reply(TeacherReply(content="<output>\n5\n</output>\n" + ANSWER))
    assert "wrote itself" in dialogue.unusable()
    dialogue = opened("program")
    dialogue.add_reply(TeacherReply(content=ANSWER, thinking="as in <program>1</program>"))
    assert dialogue.unusable() == "a call inside a text"


def test_a_call_that_the_rollout_would_read_in_a_thought_is_no_trace() -> None:
    dialogue = opened("tool")
    dialogue.add_reply(TeacherReply(content=ANSWER, thinking=tool_call("python_interpreter", "1")))
    assert isinstance(dialogue, ToolDialogue) and dialogue.unusable() == "a call inside a text"


def test_control_tokens_and_outputs_that_end_their_result_are_no_trace() -> None:
    dialogue = opened("none")
    dialogue.add_reply(TeacherReply(content=ANSWER + "<|im_end|>"))
    assert dialogue.unusable() != ""
    dialogue = opened("tool")
    dialogue.add_reply(TeacherReply(content="", calls=(call(),)))
    succeed(dialogue, "</tool_response>")
    dialogue.add_reply(TeacherReply(content=ANSWER))
    assert "marks of a conversation" in dialogue.unusable()

"""The loop without calls: a scripted model answers, the real tests run in the real sandbox."""

import asyncio

import pytest

from verl_coder.agent_loops.feedback_agent import AnswerParser
from verl_coder.extraction import extract_code
from verl_coder.report.transcript import split_output

END = "<|im_end|>"
RIGHT = f"```python\ndef double(n):\n    return 2 * n\n```{END}"
WRONG = f"```python\ndef double(n):\n    return n + 2\n```{END}"
ROOM = {"prompt_length": 2000, "response_length": 3000, "multi_turn.max_assistant_turns": 4}
SETTINGS = {
    "protocol": "feedback",
    "tools": "tool_config/feedback.yaml",
    "tests": "assert double(2) == 4\nassert double(3) == 6",
    "changes": ROOM,
}


def answers(output, tokenizer):
    """What the model was told."""
    text = tokenizer.decode(output.response_ids)
    return [part.partition("\n</feedback>")[0] for part in text.split("<feedback>\n")[1:]]


def test_a_failing_answer_is_told_what_it_gave_and_a_passing_one_ends(rollout):
    output, model, tokenizer = rollout([WRONG, RIGHT, "never asked"], **SETTINGS)
    assert answers(output, tokenizer) == ["test 1: passed\ntest 2: failed: double(3) is 5, want 6"]
    assert model.script == ["never asked"]
    fields = output.extra_fields
    assert (fields["tool_calls"], fields["tool_successes"], fields["end_reason"]) == (2, 1, "answer")
    assert extract_code(tokenizer.decode(output.response_ids)) == "def double(n):\n    return 2 * n\n"


def test_a_right_first_answer_is_the_whole_trajectory(rollout):
    output, _, tokenizer = rollout([RIGHT], **SETTINGS)
    assert tokenizer.decode(output.response_ids) == RIGHT
    assert set(output.response_mask) == {1}


def test_only_what_the_model_wrote_is_trained_on_and_nothing_of_it_is_tokenised_again(rollout):
    output, model, tokenizer = rollout([WRONG, RIGHT], **SETTINGS)
    pairs = list(zip(output.response_ids, output.response_mask, strict=True))
    assert tokenizer.decode([i for i, mask in pairs if mask]) == WRONG + RIGHT
    assert [logprob != 0.0 for logprob in output.response_logprobs] == [bool(mask) for _, mask in pairs]
    last = model.prompts[-1]
    assert (output.prompt_ids + output.response_ids)[: len(last)] == last


@pytest.mark.parametrize("skip_special_tokens", [True, False])
def test_the_answer_after_the_last_feedback_counts(rollout, skip_special_tokens):
    no_code = f"It cannot be done.{END}"
    output, _, tokenizer = rollout([RIGHT.replace("2 *", "3 *"), no_code, WRONG, no_code], **SETTINGS)
    text = tokenizer.decode(output.response_ids, skip_special_tokens=skip_special_tokens)
    assert extract_code(text) is None and extract_code(text, agent_name="feedback_agent") is None
    assert output.extra_fields["end_reason"] == "turns"


def test_answers_without_code_are_told_and_end_the_trajectory_where_nothing_else_comes(rollout):
    output, _, tokenizer = rollout(["No.", "No.", "No.", "No."], **SETTINGS)
    assert answers(output, tokenizer) == ["Error: your answer has no ```python code block"] * 2
    assert output.extra_fields["end_reason"] == "invalid_calls" and output.extra_fields["tool_invalid"] == 3


def test_the_last_turn_is_not_run_and_stands(rollout):
    changes = {**ROOM, "multi_turn.max_assistant_turns": 2}
    output, _, tokenizer = rollout([WRONG, RIGHT], **{**SETTINGS, "changes": changes})
    assert output.extra_fields["tool_calls"] == 1
    assert extract_code(tokenizer.decode(output.response_ids)) == "def double(n):\n    return 2 * n\n"


def test_feedback_that_finds_no_room_leaves_the_answer(rollout):
    loud = WRONG.replace("    return", "    print('x' * 900)\n    return")
    changes = {**ROOM, "response_length": 120}
    output, _, tokenizer = rollout([loud, RIGHT], **{**SETTINGS, "changes": changes})
    assert tokenizer.decode(output.response_ids) == loud and output.extra_fields["end_reason"] == "answer"


def test_a_problem_that_shows_no_test_has_one_turn(rollout):
    output, _, tokenizer = rollout([WRONG], **{**SETTINGS, "tests": None})
    assert tokenizer.decode(output.response_ids) == WRONG and output.extra_fields.get("tool_calls", 0) == 0


def test_printed_control_tokens_and_closing_tags_stay_text(rollout):
    loud = WRONG.replace("    return", "    print('<|im_end|>')\n    print('</feedback>')\n    return")
    output, _, tokenizer = rollout([loud, RIGHT], **SETTINGS)
    told = answers(output, tokenizer)[0]
    assert "< |im_end|>" in told and "\\</feedback>" in told and "want 6" in told
    assert extract_code(tokenizer.decode(output.response_ids)) == "def double(n):\n    return 2 * n\n"


def test_no_tool_is_described(rollout):
    _, model, tokenizer = rollout([RIGHT], **SETTINGS)
    assert "run_tests" not in tokenizer.decode(model.prompts[0])


def test_the_report_shows_turns_and_what_they_were_told(rollout):
    output, _, tokenizer = rollout([WRONG, RIGHT], **SETTINGS)
    segments = split_output(tokenizer.decode(output.response_ids))
    assert [segment.kind for segment in segments] == ["model", "result", "model"]
    assert segments[1].text.startswith("test 1: passed") and segments[2].text == RIGHT


def test_the_code_that_runs_is_the_code_that_would_be_graded(rollout):
    _, _, tokenizer = rollout([RIGHT], **SETTINGS)
    parser = AnswerParser(tokenizer, SETTINGS["tests"])
    shown = RIGHT.replace(END, "\nFor instance:\n```python\nprint(double(4))\n```" + END)
    _, calls = asyncio.run(parser.extract_tool_calls(tokenizer.encode(shown, add_special_tokens=False)))
    assert "return 2 * n" in calls[0].arguments and "double(4)" not in calls[0].arguments

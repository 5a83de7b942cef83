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


@pytest.mark.parametrize("end", [END, "<|endoftext|>"])
@pytest.mark.parametrize("skip_special_tokens", [True, False])
def test_the_answer_after_the_last_feedback_counts(rollout, skip_special_tokens, end):
    script = [RIGHT.replace("2 *", "3 *"), f"It cannot be done.{END}", WRONG, f"It cannot be done.{END}"]
    output, _, tokenizer = rollout([turn.replace(END, end) for turn in script], **SETTINGS)
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
    loud = WRONG.replace("    return", "    print('<|im' + '_end|>')\n    print('</feedback>')\n    return")
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


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (f"def double(n):\n    return 2 * n\n{END}", "def double(n):\n    return 2 * n\n"),
        (f"{RIGHT.removesuffix(END)}\n</feedback>\nDone.{END}", None),
        (f"<think>\nNow.\n</think>\n{RIGHT}", "def double(n):\n    return 2 * n\n"),
    ],
)
def test_what_runs_is_what_a_reward_reads_of_the_whole_response(rollout, second, code):
    output, _, tokenizer = rollout([f"<think>\nWhat is asked?{END}", second, "No.", "No."], **SETTINGS)
    text = tokenizer.decode(output.response_ids, skip_special_tokens=True)
    assert (output.extra_fields.get("tool_successes", 0) == 1) == (code is not None)
    assert code is None or extract_code(text) == code


@pytest.mark.parametrize("leaves", ["import sys\nsys.exit()\n", "raise SystemExit\n"])
def test_an_answer_that_ends_the_program_has_not_passed(rollout, leaves):
    gone = f"```python\ndef double(n):\n    return 2 * n\n{leaves}```{END}"
    output, _, tokenizer = rollout([gone, RIGHT], **SETTINGS)
    assert answers(output, tokenizer) == ["none of 2 tests has run: the program ended before them"]
    assert output.extra_fields["tool_successes"] == 1


def test_a_test_that_ends_the_program_fails_alone_and_prints_do_not_hide_verdicts(rollout):
    body = "    print('debug')\n    if n == 2:\n        raise SystemExit\n    return 2 * n\n"
    output, _, tokenizer = rollout([f"```python\ndef double(n):\n{body}```{END}", RIGHT], **SETTINGS)
    assert answers(output, tokenizer) == ["test 1: SystemExit: \ntest 2: passed\nprinted:\ndebug\ndebug"]
    loud = RIGHT.replace("    return", "    print('debug')\n    return")
    output, _, _ = rollout([loud], **SETTINGS)
    assert output.extra_fields["tool_successes"] == 1


def test_a_test_over_several_lines_is_one_test(rollout):
    tests = "assert double(\n    2\n) == 4\nassert double(3) == 6"
    helper = RIGHT.replace(END, "\n```python\ndef triple(n):\n    return 3 * n\n```" + END)
    output, _, _ = rollout([helper], **{**SETTINGS, "tests": tests})
    assert output.extra_fields["tool_successes"] == 1


def test_a_sandbox_that_is_away_masks_and_ends(rollout):
    output, model, _ = rollout([WRONG, RIGHT], url="http://127.0.0.1:1", **SETTINGS)
    assert output.extra_fields["tool_sandbox_unavailable"] == 1 and len(model.script) == 1
    assert output.extra_fields["end_reason"] == "sandbox_unavailable"


@pytest.mark.parametrize(
    "header",
    [
        "```\nuser\n",  # ChatML, special tokens left out
        "```user\n",  # a turn that ended by another token
        "```<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        "```user\n\n",
        "```<｜User｜>",
        "```",
        "```\n### Instruction:\n",
    ],
)
def test_feedback_is_found_behind_the_header_of_any_template(header):
    wrong, told = WRONG.removesuffix(f"```{END}"), "<feedback>\ntest 1: failed\n</feedback>\nassistant\n"
    assert extract_code(f"{wrong}{header}{told}I cannot.") is None
    kinds = [segment.kind for segment in split_output(f"{wrong}{header}{told}I cannot.")]
    assert kinds == ["model", "result", "model"]
    own = f"{WRONG.removesuffix(END)}\n<feedback>\nIt is good.\n</feedback>\n"
    assert extract_code(own) == "def double(n):\n    return n + 2\n"


def test_a_call_that_hangs_masks_and_says_so(rollout):
    slow = WRONG.replace("    return", "    import time; time.sleep(30)\n    return")
    output, _, _ = rollout([slow, RIGHT], loop={"call_deadline_s": 0.5}, **SETTINGS)
    assert output.extra_fields["end_reason"] == "hung_call"
    assert output.extra_fields["tool_sandbox_unavailable"] == 1

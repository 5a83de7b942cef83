"""The loop of protocols with tags: a scripted model, the real interpreter tool and the real sandbox."""

import asyncio
import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from verl_coder.extraction import extract_code
from verl_coder.paths import repository_root
from verl_coder.problems import FunctionCase, FunctionTests
from verl_coder.protocols import PROTOCOLS, Tags, find_program

LOGPROB = -0.5
Rollout = Callable[..., tuple[Any, Any, Any]]

TAGS = Tags("<program>", "</program>", "<output>", "</output>")
PROGRAM = "<think>Try it.</think>\n<program>\nprint(2 * 21)\n</program>"
ANSWER = "<think>Right.</think>\n```python\ndef double(n):\n    return 2 * n\n```"


def test_a_program_runs_and_its_output_stands_between_the_turns(rollout: Rollout) -> None:
    output, model, tokenizer = rollout([PROGRAM + " and then I guess 43", ANSWER])
    text = tokenizer.decode(output.response_ids)
    assert text == f"{PROGRAM}\n<output>\n42\n</output>\n{ANSWER}"
    assert (
        output.prompt_ids + output.response_ids[: len(model.prompts[1]) - len(output.prompt_ids)]
        == model.prompts[1]
    )
    assert extract_code(text) == "def double(n):\n    return 2 * n\n"
    assert output.extra_fields["tool_calls"] == output.extra_fields["tool_successes"] == 1
    assert output.num_turns == 4 and output.extra_fields["end_reason"] == "answer"


def test_a_tag_that_a_sync_of_the_weights_cut_in_two_ends_the_turn(rollout: Rollout) -> None:
    invented = "\n<output>\n41\n</output>\nSo it is 41.<program>print(3)</program>"
    output, model, tokenizer = rollout([PROGRAM + invented, ANSWER], sees_stops=False)
    whole, _, _ = rollout([PROGRAM, ANSWER])
    assert tokenizer.decode(output.response_ids) == f"{PROGRAM}\n<output>\n42\n</output>\n{ANSWER}"
    assert (output.response_ids, output.response_mask) == (whole.response_ids, whole.response_mask)
    assert output.response_logprobs == whole.response_logprobs and len(model.prompts) == 2


def test_only_what_the_model_wrote_is_trained_on(rollout: Rollout) -> None:
    output, _, tokenizer = rollout([PROGRAM, ANSWER])
    pairs = list(zip(output.response_ids, output.response_mask, strict=True))
    assert tokenizer.decode([i for i, mask in pairs if mask]) == PROGRAM + ANSWER
    assert tokenizer.decode([i for i, mask in pairs if not mask]) == "\n<output>\n42\n</output>\n"
    assert output.response_logprobs == [LOGPROB if mask else 0.0 for _, mask in pairs]


def test_the_prompt_holds_the_protocol_and_no_function_schema(rollout: Rollout) -> None:
    output, _, tokenizer = rollout([ANSWER])
    text = tokenizer.decode(output.prompt_ids)
    assert "<program>" in text and "python_interpreter" not in text
    assert output.extra_fields.get("tool_calls", 0) == 0 and output.num_turns == 2


def test_a_failing_program_shows_its_error_and_is_no_success(rollout: Rollout) -> None:
    output, _, tokenizer = rollout(["<program>\n1 / 0\n</program>", ANSWER])
    assert "ZeroDivisionError: division by zero\n</output>" in tokenizer.decode(output.response_ids)
    assert output.extra_fields["tool_calls"] == 1 and output.extra_fields.get("tool_successes", 0) == 0


def test_a_program_sees_the_given_helpers(rollout: Rollout) -> None:
    output, _, tokenizer = rollout(["<program>print(seven)</program>", ANSWER], prelude="seven = 7")
    assert "<output>\n7\n</output>" in tokenizer.decode(output.response_ids)


def test_a_program_of_the_last_turn_is_not_run(rollout: Rollout) -> None:
    output, model, tokenizer = rollout([PROGRAM] * 5, changes={"multi_turn.max_assistant_turns": 2})
    assert len(model.prompts) == 2 and output.extra_fields["tool_calls"] == 1
    assert tokenizer.decode(output.response_ids).endswith("</program>")
    assert output.extra_fields["end_reason"] == "turns"
    assert extract_code(tokenizer.decode(output.response_ids)) is None


def test_an_output_that_does_not_fit_ends_the_trajectory(rollout: Rollout) -> None:
    output, model, tokenizer = rollout([PROGRAM, ANSWER], changes={"response_length": 40})
    assert len(model.prompts) == 1 and len(output.response_ids) == len(output.response_mask) <= 40
    assert "<output>" not in tokenizer.decode(output.response_ids)
    assert output.extra_fields["end_reason"] == "length"


def test_a_printed_end_of_turn_is_text_and_no_token(rollout: Rollout) -> None:
    output, _, tokenizer = rollout(['<program>print("<|im" + "_end|>")</program>', ANSWER])
    assert "<output>\n< |im_end|>\n</output>" in tokenizer.decode(output.response_ids)
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in output.response_ids


def test_a_sandbox_that_is_away_marks_the_trajectory(rollout: Rollout) -> None:
    output, _, _ = rollout([PROGRAM, ANSWER], url="http://127.0.0.1:9")
    assert output.extra_fields["tool_sandbox_unavailable"] == 1 and output.extra_fields["tool_calls"] == 1


async def test_the_reward_for_the_protocol_counts_programs_that_ran(
    rollout: Rollout, sandbox_url: str
) -> None:
    tests = FunctionTests(entry_point="double", tests=(FunctionCase(args=(4,), expected=8),)).to_json()
    spec = importlib.util.spec_from_file_location("program_tag", repository_root() / "rewards/program_tag.py")
    assert spec is not None and spec.loader is not None
    reward = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reward)
    scores = []
    for script in ([PROGRAM, ANSWER], ["<program>\n1 / 0\n</program>", ANSWER], [ANSWER]):
        output, _, tokenizer = await asyncio.to_thread(rollout, list(script))
        text = tokenizer.decode(output.response_ids, skip_special_tokens=True)
        result = await reward.compute_score("mbpp", text, tests, output.extra_fields)
        scores.append((result["acc"], result["format"], result["call_python"]))
    assert scores == [(1, 1, 1), (1, 1, 0), (1, 1, 0)]


def test_a_protocol_with_other_tags_needs_no_loop_of_its_own(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = Tags("<run>", "</run>", "<printed>", "</printed>")
    run = dataclasses.replace(PROTOCOLS["program"], name="run", agent_name="run_agent", tags=tags)
    monkeypatch.setitem(PROTOCOLS, "run", run)
    output, model, tokenizer = rollout(["<run>print(2 * 21)</run> or 43", ANSWER], protocol="run")
    assert "between <run> and </run>" in tokenizer.decode(model.prompts[0])
    text = tokenizer.decode(output.response_ids)
    assert text == f"<run>print(2 * 21)</run>\n<printed>\n42\n</printed>\n{ANSWER}"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("<program>\nprint(1)\n</program>", "print(1)\n"),
        ("a <program> b <program>\nx\n</program> <program>y</program>", "x\n"),
        ("<program>\n    if x:\n        y\n</program>", "    if x:\n        y\n"),
        ("<program>\n```python\nprint(1)\n```\n</program>", "print(1)\n"),
        ("<program>print(1)", None),
        ("print(1)</program>", None),
        ("no program", None),
    ],
)
def test_the_program_of_a_turn(text: str, program: str | None) -> None:
    assert find_program(text, TAGS) == program

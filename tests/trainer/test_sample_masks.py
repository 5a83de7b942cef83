"""Samples without a verdict are neither right nor wrong."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from verl_coder.trainer.sample_masks import (
    is_overlong,
    is_void_turn,
    last_turn,
    neutral_scores,
    turn_ends,
    unavailable_rows,
)


def test_a_failed_tool_call_and_a_failed_grading_both_count() -> None:
    rows = unavailable_rows(
        [{}, {"tool_sandbox_unavailable": 1}, {"reward_extra_info": {"sandbox_unavailable": 1.0}}, {"acc": 1}]
    )
    assert rows.tolist() == [False, True, True, False]


def test_a_masked_row_does_not_move_its_groups_mean() -> None:
    scores = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.25])
    unavailable = np.array([False, True, False, False, False])
    result = neutral_scores(scores, ["a", "a", "a", "a", "b"], unavailable)
    known = torch.tensor([1.0, 1.0, 0.0]).mean()
    assert torch.isclose(result[:4].mean(), known)
    assert result[1] == known
    assert result[4] == 0.25


def test_a_group_without_any_verdict_is_constant() -> None:
    result = neutral_scores(torch.tensor([0.5, 0.1, 1.0]), ["a", "a", "b"], np.array([True, True, False]))
    assert result.tolist() == [0.0, 0.0, 1.0]


def test_a_response_is_overlong_at_the_limit_or_without_an_end_of_turn() -> None:
    def judge(*ids: int) -> bool:
        return is_overlong(torch.tensor(ids), end_of_turn={2}, max_tokens=4)

    assert not judge(5, 6, 2)
    assert judge(5, 6)
    assert judge(5, 6, 7, 2)


@pytest.mark.parametrize(("given", "ends"), [(None, {2}), (3, {2, 3}), ([2, 4], {2, 4})])
def test_generation_also_ends_where_the_models_settings_say(given: object, ends: set[int]) -> None:
    assert turn_ends(2, SimpleNamespace(eos_token_id=given)) == ends
    assert turn_ends(2, None) == {2}


def test_the_last_turn_is_the_last_run_of_the_models_own_tokens() -> None:
    ids, mask = torch.arange(7), torch.tensor([1, 1, 0, 0, 1, 1, 0])
    assert last_turn(ids, mask).tolist() == [4, 5]
    assert last_turn(ids, torch.ones(7, dtype=torch.int64)).tolist() == list(range(7))
    assert last_turn(ids, torch.zeros(7, dtype=torch.int64)).tolist() == []


@pytest.mark.parametrize(
    ("text", "void"),
    [
        ("```python\ndef f(xs): return 1\n```<|im_end|>", False),
        ('<tool_call>\n{"name": "python_interpreter", "arguments": {}}\n</tool_call><|im_end|>', False),
        ("I try it.\n<program>\nprint(1)\n</program>", False),
        ('<tool_call>\n{"name": "python_interp', True),
        ("I try it.\n<program>\nprint(", True),
        ("I am not sure about this one.<|im_end|>", True),
        ("", True),
    ],
)
def test_a_turn_without_call_and_code_is_void(text: str, void: bool) -> None:
    assert is_void_turn(text) is void

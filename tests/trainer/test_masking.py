"""Samples without a verdict are neither right nor wrong."""

import numpy as np
import torch

from verl_coder.trainer.masking import neutral_scores, unavailable_rows


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

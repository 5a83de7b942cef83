"""A group without a difference has no advantage, whatever float32 makes of its mean."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from trainer.fake_queue import FakeQueue
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.trainer.equal_groups import COMPARING, EqualGroupsMixin, rows_of_equal_groups


class Trainer(EqualGroupsMixin):
    """The mixin over verl's own advantage."""

    def __init__(self, out: Path, estimator: str, *, samples: int) -> None:
        self.config = OmegaConf.create(
            {
                "verl_coder": {"run_name": "r", "out": str(out), "recipe": "x"},
                "algorithm": {"adv_estimator": estimator, "use_kl_in_reward": False, "gamma": 1, "lam": 1},
                "actor_rollout_ref": {"rollout": {"n": samples}},
            }
        )

    def on_step_end(self) -> None:
        """Abstract in verl."""

    def on_sample_end(self) -> None:
        """Abstract in verl."""


def queue(scores: list[float], uids: list[str]) -> FakeQueue:
    rows = [torch.zeros(3) for _ in scores]
    for row, score in zip(rows, scores, strict=True):
        row[-1] = score
    return FakeQueue(
        uid=uids,
        rm_scores=rows,
        response_mask=[torch.ones(3, dtype=torch.int64) for _ in scores],
        old_log_probs=[torch.zeros(3) for _ in scores],
    )


def test_rows_of_equal_groups_are_those_of_two_or_more_with_one_score() -> None:
    scores, groups = [0.5, 0.5, 1.0, 0.0, 0.5], ["a", "a", "b", "b", "alone"]
    assert rows_of_equal_groups(scores, groups) == [0, 1]


@pytest.mark.parametrize("estimator", sorted(COMPARING))
@pytest.mark.parametrize("score", [2 / 3, 1 / 3, 0.7, 0.1])
def test_equal_rewards_have_no_advantage_and_others_keep_theirs(
    estimator: str, score: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = [1.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.0, 0.0]
    held, same = (queue([score] * 8 + apart, ["a"] * 8 + ["b"] * 8) for _ in range(2))
    Trainer(tmp_path, estimator, samples=8)._compute_advantage(held.stand_in(monkeypatch), {})
    assert not any(row.any() for row in held.columns["advantages"][:8] + held.columns["returns"][:8])
    verls: Any = Trainer(tmp_path, estimator, samples=8)
    PPOTrainer._compute_advantage(verls, same.stand_in(monkeypatch), {})
    ours, theirs = (torch.stack(one.columns["advantages"][8:]) for one in (held, same))
    assert ours.any() and torch.equal(ours, theirs)


def test_verls_own_mean_leaves_equal_rewards_an_advantage() -> None:
    """The reason for the mixin: where this fails, verl has mended it."""
    scores = torch.zeros(8, 3)
    scores[:, -1] = 2 / 3
    uids: Any = np.array(["a"] * 8, dtype=object)
    assert compute_grpo_outcome_advantage(scores, torch.ones(8, 3), uids)[0].abs().max() > 0.01


def test_a_baseline_over_the_whole_batch_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = queue([1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"])
    Trainer(tmp_path, "reinforce_plus_plus", samples=2)._compute_advantage(held.stand_in(monkeypatch), {})
    assert all(row.any() for row in held.columns["advantages"])

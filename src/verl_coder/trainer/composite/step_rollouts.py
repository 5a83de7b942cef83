"""What the choices of a step need to know of its rollouts."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from transfer_queue import KVBatchMeta

from verl_coder.trainer.recipe_trainer import read_columns, read_extra_fields, read_plain


@dataclass(frozen=True, kw_only=True)
class StepRollouts:
    """The rows of a batch, in its order; padding rows have an empty mask."""

    uids: list[str]
    problem_ids: list[str]
    scores: np.ndarray
    """(B,) rewards."""
    passed: np.ndarray
    """(B,) bool: all hidden tests passed, by the reward function's `acc`."""
    masks: list[torch.Tensor]
    """(T_i,) each: 1 on the model's own tokens, all 0 where the sample is masked."""

    @property
    def tokens(self) -> np.ndarray:
        """(B,) trainable tokens."""
        return np.array([int(mask.sum()) for mask in self.masks])

    def problem_pass_rates(self) -> dict[str, float]:
        """Share of a problem's unmasked rollouts that passed, by problem."""
        passed: dict[str, list[bool]] = defaultdict(list)
        for name, tokens, row in zip(self.problem_ids, self.tokens, self.passed, strict=True):
            if tokens:
                passed[name].append(bool(row))
        return {name: float(np.mean(rows)) for name, rows in passed.items()}


def read_rollouts(batch: KVBatchMeta) -> StepRollouts:
    """Read them from TransferQueue, after rewards and masks are there."""
    data = read_columns(batch, "uid", "extra_info", "rm_scores", "response_mask")
    scores = np.array([float(row.sum()) for row in data["rm_scores"].unbind()])
    infos = [field.get("reward_extra_info") or {} for field in read_extra_fields(batch)]
    return StepRollouts(
        uids=[str(uid) for uid in read_plain(data["uid"])],
        problem_ids=[str((info or {}).get("problem_id", "")) for info in read_plain(data["extra_info"])],
        scores=scores,
        passed=np.array(
            [float(i.get("acc", s)) >= 1.0 for i, s in zip(infos, scores, strict=True)], dtype=bool
        ),
        masks=list(data["response_mask"].unbind()),
    )

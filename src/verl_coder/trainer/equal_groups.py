"""Groups whose samples all earn the same compare nothing: their advantages are exactly 0.

verl takes a group's mean from its rewards in float32. Of eight times 2/3 that is off by one unit in the last place, and
the deviation that it divides by is of the same size: 0.056 for all eight, a gradient that means nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from transfer_queue import KVBatchMeta

from verl_coder.trainer.recipe_trainer import RecipeTrainer, read_columns, read_plain, write_columns

COMPARING = frozenset({"grpo", "grpo_vectorized", "grpo_passk", "rloo", "rloo_vectorized", "opo", "gpg"})
"""Advantage estimators for which a group is all there is: without a difference in it there is no advantage."""


def rows_of_equal_groups(scores: Sequence[float], groups: Sequence[str]) -> list[int]:
    """Rows of groups of two or more in which all scores are one number."""
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    return sorted(
        row
        for rows in members.values()
        if len(rows) > 1 and len({scores[row] for row in rows}) == 1
        for row in rows
    )


class EqualGroupsMixin(RecipeTrainer):
    """Where a group says nothing, no rounding speaks for it: neither in the update nor in `groups/with_signal`."""

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        result = super()._compute_advantage(batch, metrics)
        algorithm = self.config.algorithm
        if str(algorithm.adv_estimator) not in COMPARING or algorithm.use_kl_in_reward:
            return result
        data = read_columns(batch, "uid", "rm_scores", "advantages", "returns")
        scores = [float(row.sum()) for row in data["rm_scores"].unbind()]
        equal = set(rows_of_equal_groups(scores, [str(uid) for uid in read_plain(data["uid"])]))
        if equal:
            columns = {
                name: [
                    torch.zeros_like(values) if row in equal else values
                    for row, values in enumerate(data[name].unbind())
                ]
                for name in ("advantages", "returns")
            }
            write_columns(batch, columns)
        return result

"""Which of the model's own rollouts it is trained on again: the self-SFT term's choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class SelfSettings:
    """The `verl_coder.self_sft` section."""

    top_k: int = 1
    """Passing rollouts taken per prompt: the best reward first, then the shortest."""
    only_mixed: bool = False
    """Take none of a prompt that no rollout, or every rollout, solves."""


def choose_rollouts(
    uids: Sequence[str],
    scores: np.ndarray,
    passed: np.ndarray,
    tokens: np.ndarray,
    settings: SelfSettings,
) -> np.ndarray:
    """(B,) bool: the rollouts of the self-SFT term.

    uids: the prompt of each rollout. scores, passed (bool), tokens: (B,). A rollout with no trainable token
    (padding, or masked because the sandbox failed) is neither chosen nor counted as a failure.
    """
    chosen = np.zeros(len(uids), dtype=bool)
    real = tokens > 0
    groups: dict[str, list[int]] = {}
    for row in np.flatnonzero(real):
        groups.setdefault(str(uids[row]), []).append(int(row))
    for rows in groups.values():
        passing = [row for row in rows if passed[row]]
        if settings.only_mixed and len(passing) == len(rows):
            continue
        best = sorted(passing, key=lambda row: (-scores[row], tokens[row], row))
        chosen[best[: settings.top_k]] = True
    return chosen

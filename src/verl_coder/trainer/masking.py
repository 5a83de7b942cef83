"""Samples without a verdict: the sandbox did not answer, so the sample is neither right nor wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


def unavailable_rows(extra_fields: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(B,) bool: the sandbox failed the sample's tool call or its grading."""
    return np.array(
        [
            bool(fields.get("tool_sandbox_unavailable"))
            or bool((fields.get("reward_extra_info") or {}).get("sandbox_unavailable"))
            for fields in extra_fields
        ],
        dtype=bool,
    )


def neutral_scores(scores: torch.Tensor, uids: Sequence[str], unavailable: np.ndarray) -> torch.Tensor:
    """(B,) scores in which a row without a verdict has the mean of its group's other rows.

    So it moves neither the group's mean nor gets an advantage of its own (GRPO's baseline is that mean).
    A group in which no row has a verdict becomes constant, hence has zero advantage throughout.
    """
    result = scores.clone()
    groups = np.array([str(uid) for uid in uids])
    for uid in np.unique(groups[unavailable]):
        members = groups == uid
        known = members & ~unavailable
        mean = scores[torch.from_numpy(known)].mean() if known.any() else torch.tensor(0.0)
        result[torch.from_numpy(members & unavailable)] = mean.to(result.dtype)
        if not known.any():
            result[torch.from_numpy(members)] = 0.0
    return result

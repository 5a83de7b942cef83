"""REINFORCE: no ratio, no clipping. For one update a step; wrong answers may count less than right ones."""

from typing import Any

import torch

ROWS_WITHOUT_ADVANTAGE_HAVE_NO_GRADIENT = True


def token_loss(
    log_prob: torch.Tensor,
    old_log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    *,
    negative_weight: float = 1.0,
    **kwargs: Any,
) -> torch.Tensor:
    """-A log p, times `negative_weight` where A < 0; all (B, T)."""
    if negative_weight < 0:
        raise ValueError(f"negative_weight={negative_weight}: 0 or more, or wrong answers would be learnt")
    weight = torch.where(advantages < 0, negative_weight, 1.0)
    return -advantages * weight * log_prob

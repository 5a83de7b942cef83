"""PPO's clipped loss, which verl calls vanilla: the one to start from.

Without parameters it is what runs without LOSS=, by the actor's `clip_ratio`, `clip_ratio_low`, `clip_ratio_high` and
`clip_ratio_c`.
"""

from typing import Any

import torch

ROWS_WITHOUT_ADVANTAGE_HAVE_NO_GRADIENT = True


def token_loss(
    log_prob: torch.Tensor,
    old_log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    config: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    dual: float | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """-min(r A, clip(r, 1 - low, 1 + high) A), at most -dual A where A < 0; all (B, T). arXiv 1707.06347, 1912.09729.

    A `high` above `low` is DAPO's clip-higher (arXiv 2503.14476).
    """
    low = _first(low, config.clip_ratio_low, config.clip_ratio)
    high = _first(high, config.clip_ratio_high, config.clip_ratio)
    dual = _first(dual, config.clip_ratio_c)
    ratio = (log_prob - old_log_prob).clamp(-20, 20).exp()
    free, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high)
    loss = torch.maximum(free, clipped)
    loss = torch.where(advantages < 0, torch.minimum(loss, -advantages * dual), loss)
    return loss, {"clipped_share": (clipped > free).float()}


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)

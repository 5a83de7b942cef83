"""PPO's clipped loss, which verl calls vanilla: the one to start from.

With the defaults and `actor.clip_ratio` 0.2 it is what runs without LOSS=.
"""

from typing import Any

import torch

ROWS_WITHOUT_ADVANTAGE_HAVE_NO_GRADIENT = True


def token_loss(
    log_prob: torch.Tensor,
    old_log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    *,
    low: float = 0.2,
    high: float = 0.2,
    dual: float = 3.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """-min(r A, clip(r, 1 - low, 1 + high) A), at most -dual A where A < 0; all (B, T). arXiv 1707.06347, 1912.09729.

    A `high` above `low` is DAPO's clip-higher (arXiv 2503.14476).
    """
    ratio = (log_prob - old_log_prob).clamp(-20, 20).exp()
    free, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high)
    loss = torch.maximum(free, clipped)
    loss = torch.where(advantages < 0, torch.minimum(loss, -advantages * dual), loss)
    return loss, {"clipped_share": (clipped > free).float()}

"""Which columns of a batch a row's loss is a multiple of: where all of them are 0, the row has no gradient."""

from typing import Any

from omegaconf import DictConfig

from verl_coder.platform.update_options import COMPUTED_SHARE_FIELD
from verl_coder.run.settings import Settings
from verl_coder.trainer.composite.loss import WEIGHT_FIELDS
from verl_coder.trainer.composite.policy_file import policy_file_of

_MULTIPLES_OF_THE_ADVANTAGE = frozenset({"vanilla", "gspo"})
"""`policy_loss.loss_mode`s that treat a row by itself; `kl_cov` and `clip_cov` compare a micro-batch's tokens."""


def gradient_fields(config: DictConfig, settings: Settings) -> str:
    """Names of the columns with commas between them; empty where every row must be computed.

    A KL term and an entropy term have a gradient in every row, and the entropy as a metric is a mean over all rows.
    """
    actor = config.actor_rollout_ref.actor
    if (
        not settings.skip_rows_without_gradient
        or not actor.use_dynamic_bsz
        or actor.use_kl_loss
        or actor.entropy_coeff
        or actor.calculate_entropy
        or not _is_multiple_of_the_advantage(actor.policy_loss.loss_mode, settings)
        or (config.get("distillation") or {}).get("enabled", False)
    ):
        return ""
    return ",".join(["advantages", *(WEIGHT_FIELDS if settings.is_composite else ())])


def _is_multiple_of_the_advantage(mode: str, settings: Settings) -> bool:
    policy = policy_file_of(settings)
    return policy.keeps_promise() if policy is not None else mode in _MULTIPLES_OF_THE_ADVANTAGE


def count_computed_tokens(metrics: dict[str, Any]) -> None:
    """Make `perf/mfu/actor` that of the rows that were computed; verl counts those that were left out, too."""
    if "perf/mfu/actor" in metrics:
        metrics["perf/mfu/actor"] *= metrics.get(f"actor/{COMPUTED_SHARE_FIELD}", 1.0)

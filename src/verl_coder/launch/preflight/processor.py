"""The format of numbers of a run without a GPU, against what the processor multiplies."""

from omegaconf import DictConfig

from verl_coder.launch.model_shape import shape_of
from verl_coder.platform.processor import multiplies_bfloat16

_LARGE = 100_000_000
"""Parameters from which the products are most of a step; below, its overhead is, and float32 is exact for nothing."""


def check_numbers(config: DictConfig) -> str:
    """A note where another `cpu_numbers` would be several times faster, else an empty text."""
    if config.trainer.device != "cpu":
        return ""
    rollout, fsdp = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor.fsdp_config
    formats = {str(rollout.dtype), str((fsdp.get("mixed_precision") or {}).get("param_dtype", "bf16"))}
    in_bfloat16 = bool(formats & {"bfloat16", "bf16"})
    fast = multiplies_bfloat16()
    if in_bfloat16 and not fast:
        return (
            "this processor only emulates products of bfloat16 (no avx512_bf16, no amx_bf16 in /proc/cpuinfo): "
            "cpu_numbers=float32 is several times faster"
        )
    if in_bfloat16 or not fast:
        return ""
    shape = shape_of(str(config.actor_rollout_ref.model.path))
    if shape is None or shape.parameters < _LARGE:
        return ""
    return (
        f"this processor multiplies bfloat16: with cpu_numbers=bfloat16 a step of a model of "
        f"{shape.parameters / 1e6:,.0f} million parameters takes half as long"
    )

"""`actor_rollout_ref.model.external_lib` on the CPU: FSDP2's CPU offload becomes no offload; attention on packed rows.

Log-probabilities of many tokens at a time, or without logits; an adapter's part added in place. Of a batch, only the
columns with numbers, and of an update only the rows that have a gradient.

verl always gives the reference policy `CPUOffloadPolicy(pin_memory=True)`; pinning needs an accelerator, and
parameters that live on the CPU have nowhere to be offloaded to.
"""

from typing import Any

import verl.workers.engine.fsdp.transformer_impl as _fsdp
from torch.distributed.fsdp import OffloadPolicy

import verl_coder.platform.gradient_rows
import verl_coder.platform.log_probs
import verl_coder.platform.lora_linear
import verl_coder.platform.lora_seed
import verl_coder.platform.packed_attention  # (registers `attn_implementation: packed`)
import verl_coder.platform.shared_prefix
import verl_coder.platform.worker_columns  # noqa: F401  (all by being imported)
from verl_coder.platform.environment import cpu_platform_selected


class NoOffloadPolicy(OffloadPolicy):
    """Accepts CPUOffloadPolicy's argument and offloads nothing."""

    def __init__(self, pin_memory: bool = False, **_: Any) -> None:
        super().__init__()


if cpu_platform_selected():
    _fsdp.CPUOffloadPolicy = NoOffloadPolicy  # type: ignore[misc, assignment]

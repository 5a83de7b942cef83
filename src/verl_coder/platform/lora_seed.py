"""A new adapter is the same one for the same seed: verl draws its first matrices from a generator that nobody seeds.

The seed is the engine's (`fsdp_config.seed`, `engine.seed`); what else is drawn in the process stays as it was.
"""

from typing import Any

import torch
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

_build = FSDPEngine._build_lora_module


def _build_seeded(self: Any, module: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(self.engine_config.seed)
        return _build(self, module)


FSDPEngine._build_lora_module = _build_seeded  # type: ignore[method-assign]

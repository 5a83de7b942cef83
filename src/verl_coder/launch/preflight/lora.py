"""LoRA targets that the model does not have: PEFT would say so in a worker, or, for a list, not at all."""

import re
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError


def check_lora(config: DictConfig) -> None:
    """Every entry of model.target_modules must name a linear layer of the model."""
    model = config.actor_rollout_ref.model
    rank, alpha = int(model.get("lora_rank") or 0), int(model.get("lora_alpha") or 0)
    if rank < 0 or (rank > 0 and alpha <= 0):
        raise ConfigError(
            f"actor_rollout_ref.model.lora_rank={rank}, lora_alpha={alpha}: use a rank of 0 (no LoRA) or more, and "
            "an alpha above 0"
        )
    targets = model.get("target_modules")
    targets = OmegaConf.to_container(targets) if OmegaConf.is_config(targets) else targets
    if rank == 0 or targets == "all-linear":
        return
    layers = linear_layers(str(model.path))
    for target in [targets] if isinstance(targets, str) else list(targets or []):
        if not any(_matches(layer, target, pattern=isinstance(targets, str)) for layer in layers):
            kinds = sorted({layer.rpartition(".")[2] for layer in layers})
            raise ConfigError(
                f"actor_rollout_ref.model.target_modules names {target!r}, and {model.path} has no such linear "
                f"layer: it has {', '.join(kinds)} (or use all-linear)"
            )
    if not targets:
        raise ConfigError("actor_rollout_ref.model.target_modules is empty: name layers, or use all-linear")


def linear_layers(path: str) -> Sequence[str]:
    """Dotted names of the linear layers of a model, from its configuration alone."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]


def _matches(layer: str, target: str, *, pattern: bool) -> bool:
    """PEFT's rule: a string is a regular expression for the whole name, a list holds names or their ends."""
    if pattern:
        return re.fullmatch(target, layer) is not None
    return layer == target or layer.endswith(f".{target}")

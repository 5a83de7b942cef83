"""Options of GRPO and of LoRA that verl takes without a word and does not follow, or refuses in a worker only."""

import re
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.json_text import is_number
from verl_coder.launch.preflight.correction import check_correction
from verl_coder.launch.preflight.names import may_register
from verl_coder.launch.preflight.values import shown
from verl_coder.run.settings import CompositeSettings
from verl_coder.words import choose_one

AGGREGATIONS = (
    "token-mean",
    "token-sum",
    "seq-mean-token-sum",
    "seq-mean-token-mean",
    "seq-mean-token-sum-norm",
)
KL_ESTIMATORS = ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3")
"""Each also with a trailing `+`: its value with the gradient of k2."""


def check_grpo(config: DictConfig, settings: CompositeSettings) -> None:
    """Raise a ConfigError for the first option that would not do what it says."""
    _check_loss(config.actor_rollout_ref.actor)
    _check_mode(config)
    _check_group_filter(config, settings)
    check_correction(config)


def _check_loss(actor: DictConfig) -> None:
    place = "actor_rollout_ref.actor"
    if actor.loss_agg_mode not in AGGREGATIONS:
        raise ConfigError(
            f"{place}.loss_agg_mode={actor.loss_agg_mode}: {choose_one(actor.loss_agg_mode, AGGREGATIONS)}"
        )
    if actor.loss_agg_mode == "seq-mean-token-sum-norm" and not actor.loss_scale_factor:
        raise ConfigError(
            f"{place}.loss_agg_mode=seq-mean-token-sum-norm needs {place}.loss_scale_factor, a constant such as "
            "data.max_response_length: without it verl divides by the longest row of each micro-batch"
        )
    if actor.clip_ratio != actor.clip_ratio_low and actor.clip_ratio != actor.clip_ratio_high:
        raise ConfigError(
            f"{place}.clip_ratio={actor.clip_ratio} has no effect beside clip_ratio_low={actor.clip_ratio_low} and "
            f"clip_ratio_high={actor.clip_ratio_high}: set those two"
        )
    if not is_number(actor.clip_ratio_c) or actor.clip_ratio_c <= 1:
        raise ConfigError(
            f"{place}.clip_ratio_c={shown(actor.clip_ratio_c)}: use a number above 1, the largest ratio that counts "
            "where the advantage is negative"
        )
    if actor.use_kl_loss and actor.kl_loss_type.removesuffix("+") not in KL_ESTIMATORS:
        raise ConfigError(
            f"{place}.kl_loss_type={actor.kl_loss_type}: {choose_one(actor.kl_loss_type, KL_ESTIMATORS)}"
        )


def _check_mode(config: DictConfig) -> None:
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    mode, place = (
        config.actor_rollout_ref.actor.policy_loss.loss_mode,
        "actor_rollout_ref.actor.policy_loss.loss_mode",
    )
    # What verl takes by itself where the rollout's log-probs are the old ones is no choice.
    modes = [name for name in POLICY_LOSS_REGISTRY if name != "bypass_mode"]
    if mode not in modes and not may_register(config.actor_rollout_ref.model.get("external_lib")):
        raise ConfigError(f"{place}={shown(mode)}: {choose_one(mode, modes)} (one of your own: LOSS=)")


def _check_group_filter(config: DictConfig, settings: CompositeSettings) -> None:
    section, place = config.algorithm.filter_groups, "algorithm.filter_groups"
    if not section.enable:
        return
    if not section.metric:
        raise ConfigError(f"{place}.enable needs {place}.metric: reward, or a key that the reward reports")
    if settings.uses_teacher and settings.teacher.max_group_pass_rate is not None:
        raise ConfigError(
            f"{place}.enable takes away the prompts that no rollout solves, and "
            "verl_coder.teacher.max_group_pass_rate teaches those: use one of the two"
        )


LARGEST_RANK = 512
"""Of an adapter that vLLM serves beside its base (vllm.config.lora.MaxLoRARanks)."""


def check_lora(config: DictConfig, *, model_is_there: bool = True) -> None:
    """Every entry of model.target_modules must name a linear layer of the model, where that can be looked at."""
    model = config.actor_rollout_ref.model
    rank, alpha = int(model.get("lora_rank") or 0), int(model.get("lora_alpha") or 0)
    if rank < 0 or (rank > 0 and alpha <= 0):
        raise ConfigError(
            f"actor_rollout_ref.model.lora_rank={rank}, lora_alpha={alpha}: use a rank of 0 (no LoRA) or more, and "
            "an alpha above 0"
        )
    if rank > LARGEST_RANK and not (model.get("lora") or {}).get("merge"):
        raise ConfigError(
            f"actor_rollout_ref.model.lora_rank={rank}: vLLM serves adapters of rank {LARGEST_RANK} or less; use a "
            "lower one, or actor_rollout_ref.model.lora.merge=true"
        )
    targets = model.get("target_modules")
    targets = OmegaConf.to_container(targets) if OmegaConf.is_config(targets) else targets
    if rank == 0 or targets == "all-linear" or not model_is_there:
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

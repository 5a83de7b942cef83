"""Settings that verl's other trainers or engines read, and the one that runs here does not."""

from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.values import shown


class Unread(NamedTuple):
    """A setting, the value that it may keep, and what does what it says."""

    place: str
    default: Any
    instead: str


_ACTOR, _ROLLOUT, _LORA = (
    "actor_rollout_ref.actor",
    "actor_rollout_ref.rollout",
    "actor_rollout_ref.model.lora",
)
_NOTHING = "leave it out"
UNREAD = (
    Unread(f"{_ACTOR}.grad_clip", 1.0, f"{_ACTOR}.optim.clip_grad clips"),
    Unread(
        f"{_ACTOR}.use_prefix_grouper",
        False,
        "actor_rollout_ref.model.override_config.attn_implementation=shared_prefix does it on a CPU",
    ),
    Unread(f"{_ACTOR}.freeze_vision_tower", False, _NOTHING),
    Unread(
        f"{_ROLLOUT}.multi_turn.enable", True, "rows of single_turn_agent have one turn (--protocol none)"
    ),
    Unread(f"{_ROLLOUT}.multi_turn.num_repeat_rollouts", None, f"{_ROLLOUT}.n is the samples of a prompt"),
    Unread(f"{_ROLLOUT}.over_sample_rate", 0, _NOTHING),
    Unread("algorithm.use_pf_ppo", False, _NOTHING),
    Unread("trainer.balance_batch", True, "batches are always balanced; leave it out"),
    Unread("trainer.esi_redundant_time", 0, "SIGTERM saves a checkpoint; leave it out"),
    Unread("data.return_raw_input_ids", False, _NOTHING),
    Unread(f"{_LORA}.rank", 0, "actor_rollout_ref.model.lora_rank does it"),
    Unread(f"{_LORA}.alpha", 32, "actor_rollout_ref.model.lora_alpha does it"),
    Unread(f"{_LORA}.dropout", 0.0, _NOTHING),
    Unread(f"{_LORA}.type", "lora", _NOTHING),
    Unread(
        f"{_LORA}.target_modules",
        ["linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"],
        "actor_rollout_ref.model.target_modules names them",
    ),
    Unread(f"{_LORA}.exclude_modules", [], "actor_rollout_ref.model.exclude_modules names them"),
    Unread(f"{_LORA}.dtype", None, f"{_ACTOR}.fsdp_config.model_dtype is that of all weights"),
    Unread(f"{_LORA}.adapter_path", None, "actor_rollout_ref.model.lora_adapter_path names it"),
)


def check_unread(config: DictConfig) -> None:
    """ConfigError for the first setting that was changed and that nothing reads."""
    is_fsdp = str(config.actor_rollout_ref.actor.strategy).startswith("fsdp")
    for place, default, instead in UNREAD:
        value = OmegaConf.select(config, place, default=default)
        plain = OmegaConf.to_container(value) if isinstance(value, ListConfig) else value
        if plain != default and (is_fsdp or not place.startswith(_LORA)):
            raise ConfigError(f"{place}={shown(value)} has no effect, since nothing here reads it: {instead}")

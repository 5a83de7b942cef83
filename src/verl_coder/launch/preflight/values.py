"""Values of verl's settings that have the wrong kind or are out of range: verl checks few of them, and late."""

import dataclasses
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.json_text import is_number
from verl_coder.launch.recipe import OPEN_MAPPINGS, verl_tree
from verl_coder.many_modules import collector_paused
from verl_coder.words import choose_one

_ACTOR, _ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
_MICRO = (
    f"{_ACTOR}.ppo_micro_batch_size_per_gpu",
    f"{_ROLLOUT}.log_prob_micro_batch_size_per_gpu",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu",
)
COUNTS = (
    "data.train_batch_size",
    "data.max_prompt_length",
    "data.max_response_length",
    "trainer.nnodes",
    "trainer.n_gpus_per_node",
    "trainer.total_epochs",
    "reward.num_workers",
    f"{_ACTOR}.ppo_mini_batch_size",
    f"{_ACTOR}.ppo_epochs",
    f"{_ROLLOUT}.n",
    f"{_ROLLOUT}.val_kwargs.n",
    f"{_ROLLOUT}.max_num_seqs",
    f"{_ROLLOUT}.agent.num_workers",
    f"{_ROLLOUT}.tensor_model_parallel_size",
    f"{_ROLLOUT}.multi_turn.max_parallel_calls",
    f"{_ROLLOUT}.multi_turn.max_tool_response_length",
    f"{_ROLLOUT}.checkpoint_engine.update_weights_bucket_megabytes",
)
"""Whole numbers of 1 or more."""
COUNTS_OR_NULL = (
    "data.val_batch_size",
    "data.gen_batch_size",
    "trainer.total_training_steps",
    "trainer.max_actor_ckpt_to_keep",
    f"{_ROLLOUT}.max_model_len",
    f"{_ROLLOUT}.max_num_batched_tokens",
    f"{_ROLLOUT}.multi_turn.max_assistant_turns",
    f"{_ROLLOUT}.multi_turn.max_user_turns",
    *_MICRO,
)
COUNTS_OR_ZERO = (
    "actor_rollout_ref.model.lora_rank",
    "actor_rollout_ref.model.lora_alpha",
    "trainer.critic_warmup",
    "ray_kwargs.ray_init.num_cpus",
    "ray_kwargs.ray_init.num_gpus",
    "ray_kwargs.ray_init.object_store_memory",
)
"""Whole numbers of 0 or more, or null."""
FREQUENCIES = ("trainer.save_freq", "trainer.test_freq", f"{_ROLLOUT}.top_k", f"{_ROLLOUT}.val_kwargs.top_k")
"""A whole number; -1 or 0 is never (steps) or all (tokens)."""
SAMPLES = ("data.train_max_samples", "data.val_max_samples")
"""A whole number of 1 or more, or -1 for all rows."""
POSITIVE = (f"{_ROLLOUT}.temperature",)
"""Above 0: greedy samples of a prompt are all the same, and log-probs are those of logits over the temperature."""
NOT_NEGATIVE = (
    f"{_ROLLOUT}.val_kwargs.temperature",
    f"{_ACTOR}.kl_loss_coef",
    f"{_ACTOR}.entropy_coeff",
    f"{_ACTOR}.clip_ratio",
    f"{_ACTOR}.clip_ratio_low",
    f"{_ACTOR}.clip_ratio_high",
)
SHARES = (f"{_ROLLOUT}.gpu_memory_utilization", f"{_ROLLOUT}.top_p", f"{_ROLLOUT}.val_kwargs.top_p")
"""Above 0, at most 1."""
TEXTS = (
    "trainer.project_name",
    "trainer.experiment_name",
    "reward.custom_reward_function.name",
    f"{_ACTOR}.kl_loss_type",
    f"{_ACTOR}.loss_agg_mode",
)
NUMBERS_OR_TEXTS = ("algorithm.rollout_correction.rollout_is_threshold",)
"""verl's YAML has a number, and its code takes a text, too: correction.py checks it."""
CHOICES = {
    "trainer.use_v1": ("True",),
    "actor_rollout_ref.hybrid_engine": ("True", "False"),
    "data.prompt_key": ("prompt",),
    "data.reward_fn_key": ("data_source",),
    f"{_ROLLOUT}.name": ("vllm", "sglang", "trtllm"),
    f"{_ROLLOUT}.load_format": (
        *(
            "auto",
            "dummy",
            "hf",
            "safetensors",
            "fastsafetensors",
            "pt",
            "npcache",
            "mistral",
            "sharded_state",
        ),
        *(
            "tensorizer",
            "runai_streamer",
            "runai_streamer_sharded",
            "instanttensor",
            "modelexpress",
            "megatron",
        ),
    ),
    f"{_ROLLOUT}.mode": ("async",),
    f"{_ROLLOUT}.dtype": ("auto", "float32", "bfloat16", "float16", "half"),
    f"{_ACTOR}.strategy": ("fsdp", "fsdp2", "megatron", "veomni", "torchtitan", "mindspeed", "automodel"),
    "trainer.v1.trainer_mode": ("sync", "colocate_async", "separate_async"),
    "trainer.v1.sampler.max_off_policy_strategy": ("drop", "wait"),
    "trainer.device": ("cpu", "cuda", "npu"),
    "data.truncation": ("error", "left", "right", "middle"),
}


def check_values(config: DictConfig) -> None:
    """Raise a ConfigError for the first value of the wrong kind, out of its range, or of no known name."""
    for places, low, words in (
        (COUNTS, 1, "a whole number of 1 or more"),
        (COUNTS_OR_NULL, 1, "a whole number of 1 or more, or null"),
        (COUNTS_OR_ZERO, 0, "a whole number of 0 or more"),
        (FREQUENCIES, -1, "a whole number, -1 for never"),
        (SAMPLES, -1, "a whole number of 1 or more, or -1 for all rows"),
    ):
        for place in places:
            value = OmegaConf.select(config, place)
            if value is None and places in (COUNTS_OR_NULL, COUNTS_OR_ZERO):
                continue
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= low
            if not whole or (places is SAMPLES and value == 0):
                raise ConfigError(f"{place}={shown(value)}: use {words}")
    _check_numbers(config)
    for place in TEXTS:
        value = OmegaConf.select(config, place)
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{place}={shown(value)}: use a text")
    _check_choices(config)
    # mode.py says what a threshold of null means.
    check_kinds(config, verl_tree(), but=(*NUMBERS_OR_TEXTS, "trainer.v1.sampler.max_off_policy_threshold"))


def _check_numbers(config: DictConfig) -> None:
    for places, words, fits in (
        (POSITIVE, "a number above 0", lambda value: value > 0),
        (NOT_NEGATIVE, "a number of 0 or more", lambda value: value >= 0),
        (SHARES, "a number in (0, 1]", lambda value: 0 < value <= 1),
    ):
        for place in places:
            value = OmegaConf.select(config, place)
            if value is None and places is not POSITIVE:
                continue
            if not is_number(value) or not fits(value):
                raise ConfigError(f"{place}={shown(value)}: use {words}")


def check_kinds(config: DictConfig, verl: DictConfig, *, but: Collection[str] = ()) -> None:
    """ConfigError for the first number or truth value that is none; `verl` is verl's own tree, `but` are left out."""
    for place, value, kinds in _typed_leaves(
        OmegaConf.to_container(config), OmegaConf.to_container(verl, resolve=False), ""
    ):
        if place not in but:
            _check_kind(place, value, kinds)


_ASKS_FOR_MORE = ("remax", "gdpo", "optimal_token_baseline", "tir_optimal_token_baseline")
"""Estimators of verl's older trainer: V1 hands them no baseline, prompt or policy sum, and fails after a rollout."""


def _check_choices(config: DictConfig) -> None:
    with collector_paused():
        from verl.experimental.agent_loop.tool_parser import ToolParser
        from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
        from verl.utils.tracking import Tracking

    choices = CHOICES | {
        "algorithm.adv_estimator": tuple(
            name for name in map(str, ADV_ESTIMATOR_REGISTRY) if name not in _ASKS_FOR_MORE
        ),
        f"{_ROLLOUT}.multi_turn.format": tuple(ToolParser._registry),
    }
    for place, allowed in choices.items():
        value = OmegaConf.select(config, place)
        if str(value) not in allowed:
            raise ConfigError(f"{place}={shown(value)}: {choose_one(value, allowed)}")
    loggers = config.trainer.logger
    if not isinstance(loggers, str | ListConfig) or not loggers:
        raise ConfigError(f"trainer.logger={shown(loggers)}: use a list of names, such as [console]")
    for name in [loggers] if isinstance(loggers, str) else list(loggers):
        if name not in Tracking.supported_backend:
            raise ConfigError(f"trainer.logger has {name!r}: {choose_one(name, Tracking.supported_backend)}")


Kinds = tuple[type, ...]


def _typed_leaves(ours: Any, verl: Any, prefix: str) -> Iterator[tuple[str, Any, Kinds]]:
    """(place, value, allowed kinds) of every leaf whose kind verl's YAML or its dataclass tells."""
    if not isinstance(ours, Mapping) or not isinstance(verl, Mapping):
        return
    hints = _field_kinds(verl)
    for key, value in ours.items():
        place = f"{prefix}{key}"
        if place in OPEN_MAPPINGS or key == "_target_":
            continue
        if isinstance(value, Mapping):
            yield from _typed_leaves(value, verl.get(key), f"{place}.")
            continue
        default = verl.get(key)
        kinds: Kinds = ()
        if isinstance(default, bool | int | float):
            kinds = (bool,) if isinstance(default, bool) else (int, float)
        hinted = hints.get(str(key), ())
        if hinted and (default is None or kinds):
            # The dataclass knows whether null is allowed; the YAML's own default is always of an allowed kind.
            whole = int in hinted and float not in hinted and not isinstance(default, float)
            kinds = tuple({*hinted, *(kind for kind in kinds if not (whole and kind is float))})
        if kinds:
            yield place, value, kinds


def _field_kinds(node: Mapping[str, Any]) -> dict[str, Kinds]:
    """Field -> kinds, of the dataclass in `_target_`, for fields that are numbers, truth values or null of these."""
    target = node.get("_target_")
    if not target:
        return {}
    from hydra.utils import get_class

    cls = get_class(str(target))
    if not dataclasses.is_dataclass(cls):
        return {}
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError):
        return {}
    plain = (bool, int, float, types.NoneType)
    found = {}
    for name, hint in hints.items():
        kinds = (
            typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
        )
        if all(kind in plain for kind in kinds):
            found[name] = tuple(kinds)
    return found


def _check_kind(place: str, value: Any, kinds: Kinds) -> None:
    numeric = int in kinds or float in kinds
    if value is None:
        fits = types.NoneType in kinds
    elif isinstance(value, bool):
        fits = bool in kinds
    else:
        fits = numeric and is_number(value) and (float in kinds or isinstance(value, int))
    if not fits:
        words = [
            *(["a number" if float in kinds else "a whole number"] if numeric else []),
            *(["true or false"] if bool in kinds else []),
            *(["null"] if types.NoneType in kinds else []),
        ]
        raise ConfigError(f"{place}={shown(value)}: use {' or '.join(words)}")


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    return "null" if value is None else str(value)

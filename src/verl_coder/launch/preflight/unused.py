"""Settings of a part that the run does not use: told where the user has set one; a recipe may keep values for it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from omegaconf import DictConfig

from verl_coder.run.settings import Settings

_ACTOR, _MODEL = "actor_rollout_ref.actor", "actor_rollout_ref.model"
_CORRECTION, _SAMPLER = "algorithm.rollout_correction", "trainer.v1.sampler"
_CONSTANT = "seq-mean-token-sum-norm"


class _Part(NamedTuple):
    """Settings, or sections, that count only where the run uses their part; `otherwise` says why it does not."""

    places: tuple[str, ...]
    is_used: Callable[[DictConfig, Settings], object]
    otherwise: str


_PARTS = (
    _Part(("verl_coder.teacher",), lambda _, ours: ours.uses_teacher, "verl_coder.losses.beta is 0"),
    _Part(("verl_coder.self_sft",), lambda _, ours: ours.uses_self, "verl_coder.losses.gamma is 0"),
    _Part(
        (f"{_ACTOR}.kl_loss_coef", f"{_ACTOR}.kl_loss_type"),
        lambda config, _: config.actor_rollout_ref.actor.use_kl_loss,
        f"{_ACTOR}.use_kl_loss is false",
    ),
    _Part(
        ("algorithm.kl_ctrl", "algorithm.kl_penalty"),
        lambda config, _: config.algorithm.use_kl_in_reward,
        "algorithm.use_kl_in_reward is false",
    ),
    _Part(
        (f"{_ACTOR}.loss_scale_factor",),
        lambda config, _: config.actor_rollout_ref.actor.loss_agg_mode == _CONSTANT,
        f"{_ACTOR}.loss_agg_mode is not {_CONSTANT}",
    ),
    _Part(
        (f"{_ACTOR}.ppo_max_token_len_per_gpu",),
        lambda config, _: config.actor_rollout_ref.actor.use_dynamic_bsz,
        f"{_ACTOR}.use_dynamic_bsz is false",
    ),
    _Part(
        (f"{_ACTOR}.ppo_micro_batch_size_per_gpu",),
        lambda config, _: not config.actor_rollout_ref.actor.use_dynamic_bsz,
        f"{_ACTOR}.use_dynamic_bsz is true",
    ),
    _Part(
        (f"{_CORRECTION}.rollout_is_threshold", f"{_CORRECTION}.rollout_is_batch_normalize"),
        lambda config, _: config.algorithm.rollout_correction.rollout_is,
        f"{_CORRECTION}.rollout_is is null",
    ),
    _Part(
        (f"{_CORRECTION}.rollout_rs_threshold",),
        lambda config, _: config.algorithm.rollout_correction.rollout_rs,
        f"{_CORRECTION}.rollout_rs is null",
    ),
    _Part(
        ("algorithm.filter_groups.metric", "algorithm.filter_groups.max_num_gen_batches"),
        lambda config, _: config.algorithm.filter_groups.enable,
        "algorithm.filter_groups.enable is false",
    ),
    _Part(
        (f"{_SAMPLER}.max_off_policy_threshold", f"{_SAMPLER}.max_off_policy_strategy"),
        lambda config, _: config.trainer.v1.trainer_mode != "sync",
        "trainer.v1.trainer_mode is sync",
    ),
    _Part(
        ("trainer.v1.separate_async",),
        lambda config, _: config.trainer.v1.trainer_mode == "separate_async",
        "trainer.v1.trainer_mode is not separate_async",
    ),
    _Part(
        (f"{_MODEL}.lora_alpha", f"{_MODEL}.target_modules", f"{_MODEL}.exclude_modules"),
        lambda config, _: (
            config.actor_rollout_ref.model.lora_rank or config.actor_rollout_ref.model.lora_adapter_path
        ),
        f"{_MODEL}.lora_rank is 0",
    ),
    _Part(
        ("critic",),
        lambda config, _: config.algorithm.adv_estimator == "gae" or config.critic.enable,
        "algorithm.adv_estimator needs no critic",
    ),
)


def unused_settings(
    config: DictConfig, settings: Settings, overrides: Sequence[str], loops: Collection[str] = ()
) -> tuple[str, ...]:
    """A line for each override without an effect; `loops` are the agent loops of the rows, as far as they are known."""
    return tuple(
        f"note: {override}: no effect, as {why}"
        for override in overrides
        for why in _reasons(config, settings, override.partition("=")[0].lstrip("+~"), loops)
    )


def _reasons(config: DictConfig, settings: Settings, key: str, loops: Collection[str]) -> Iterator[str]:
    for part in _PARTS:
        is_of_it = any(key == place or key.startswith(f"{place}.") for place in part.places)
        if is_of_it and not part.is_used(config, settings):
            yield part.otherwise
    has_turns = loops and "single_turn_agent" not in loops
    if key == "verl_coder.stop_after_code" and settings.stop_after_code and has_turns:
        yield f"the rows' agent loop is {', '.join(sorted(loops))}, not single_turn_agent"

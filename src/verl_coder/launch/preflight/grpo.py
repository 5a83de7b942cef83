"""Options of GRPO that verl takes without a word and then does not follow, or refuses in a worker only."""

from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.run.composite_settings import CompositeSettings

AGGREGATIONS = (
    "token-mean",
    "token-sum",
    "seq-mean-token-sum",
    "seq-mean-token-mean",
    "seq-mean-token-sum-norm",
)
KL_ESTIMATORS = ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3")
"""Each also with a trailing `+`: its value with the gradient of k2."""


def check_grpo(config: DictConfig, composite: CompositeSettings) -> None:
    """Raise a ConfigError for the first option that would not do what it says."""
    _check_loss(config.actor_rollout_ref.actor)
    _check_group_filter(config, composite)
    _check_correction(config)


def _check_loss(actor: DictConfig) -> None:
    place = "actor_rollout_ref.actor"
    if actor.loss_agg_mode not in AGGREGATIONS:
        raise ConfigError(
            f"{place}.loss_agg_mode={actor.loss_agg_mode}: choose one of {', '.join(AGGREGATIONS)}"
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
    if actor.use_kl_loss and actor.kl_loss_type.removesuffix("+") not in KL_ESTIMATORS:
        raise ConfigError(
            f"{place}.kl_loss_type={actor.kl_loss_type}: choose one of {', '.join(KL_ESTIMATORS)}"
        )


def _check_group_filter(config: DictConfig, composite: CompositeSettings) -> None:
    section, place = config.algorithm.filter_groups, "algorithm.filter_groups"
    if not section.enable:
        return
    if not section.metric:
        raise ConfigError(f"{place}.enable needs {place}.metric: reward, or a key that the reward reports")
    if composite.uses_teacher and composite.teacher.max_group_pass_rate is not None:
        raise ConfigError(
            f"{place}.enable takes away the prompts that no rollout solves, and "
            "verl_coder.teacher.max_group_pass_rate teaches those: use one of the two"
        )


def _check_correction(config: DictConfig) -> None:
    section, place = config.algorithm.rollout_correction, "algorithm.rollout_correction"
    wanted = [name for name in ("rollout_is", "rollout_rs") if section.get(name)]
    if not wanted and not section.bypass_mode:
        return
    name = f"{place}.{wanted[0] if wanted else 'bypass_mode'}"
    if not config.actor_rollout_ref.rollout.calculate_log_probs:
        raise ConfigError(f"{name} needs actor_rollout_ref.rollout.calculate_log_probs=true")
    if section.bypass_mode and wanted:
        raise ConfigError(
            f"{name} has no effect with {place}.bypass_mode=true in trainer.use_v1: turn bypass_mode off"
        )
    if section.bypass_mode and section.loss_type != "ppo_clip":
        raise ConfigError(
            f"{place}.loss_type={section.loss_type} has no effect in trainer.use_v1: only ppo_clip is there"
        )
    if section.get("rollout_is") not in (None, "token", "sequence"):
        raise ConfigError(f"{place}.rollout_is={section.rollout_is}: use token, sequence or null")
    if section.get("rollout_rs") and not section.rollout_rs_threshold:
        raise ConfigError(f"{place}.rollout_rs={section.rollout_rs} needs {place}.rollout_rs_threshold")

"""Options of verl's rollout correction that it would ignore, or refuse in a worker, after the first rollouts."""

import math
from typing import Any

from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.values import shown
from verl_coder.words import choose_one

_PLACE = "algorithm.rollout_correction"


def check_correction(config: DictConfig) -> None:
    """ConfigError for the first option of `algorithm.rollout_correction` that would not do what it says."""
    section = config.algorithm.rollout_correction
    _check_weights(section)
    _check_rejection(section)
    wanted = [name for name in ("rollout_is", "rollout_rs") if section.get(name)]
    if not wanted and not section.bypass_mode:
        return
    name = f"{_PLACE}.{wanted[0] if wanted else 'bypass_mode'}"
    if not config.actor_rollout_ref.rollout.calculate_log_probs:
        raise ConfigError(f"{name} needs actor_rollout_ref.rollout.calculate_log_probs=true")
    if section.bypass_mode and wanted:
        raise ConfigError(
            f"{name} has no effect with {_PLACE}.bypass_mode=true in trainer.use_v1: turn bypass_mode off"
        )
    if section.bypass_mode and section.loss_type != "ppo_clip":
        raise ConfigError(
            f"{_PLACE}.loss_type={section.loss_type} has no effect in trainer.use_v1: only ppo_clip is there"
        )


def _check_weights(section: DictConfig) -> None:
    if section.get("rollout_is") not in (None, "token", "sequence"):
        raise ConfigError(f"{_PLACE}.rollout_is={section.rollout_is}: use token, sequence or null")
    value = section.get("rollout_is_threshold")
    if value is None and not section.get("rollout_is"):
        return
    if not _is_threshold(value, has_low=True):
        raise ConfigError(
            f"{_PLACE}.rollout_is_threshold={shown(value)}: use a number above 0, the largest weight, or LOW_HIGH "
            "with 0 < LOW < HIGH, such as 0.5_2.0"
        )


def _check_rejection(section: DictConfig) -> None:
    """Names with commas between, and a threshold for all of them or one each."""
    value, asked = section.get("rollout_rs_threshold"), section.get("rollout_rs")
    if not asked:
        return
    from verl.trainer.ppo.rollout_corr_helper import SUPPORTED_ROLLOUT_RS_OPTIONS

    options = [part.strip() for part in str(asked).split(",")]
    for option in options:
        if option not in SUPPORTED_ROLLOUT_RS_OPTIONS:
            raise ConfigError(
                f"{_PLACE}.rollout_rs={asked}: {choose_one(option, sorted(SUPPORTED_ROLLOUT_RS_OPTIONS))}"
            )
    place = f"{_PLACE}.rollout_rs_threshold"
    if value is None:
        raise ConfigError(f"{_PLACE}.rollout_rs={asked} needs {place}")
    given = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
    if len(given) not in (1, len(options)):
        raise ConfigError(
            f"{place}={value}: {len(given)} thresholds for {_PLACE}.rollout_rs={asked}: use one for all, or one each"
        )
    for option, threshold in zip(options, given * (len(options) // len(given)), strict=True):
        is_ratio = option.endswith("k1")  # from LOW, by itself 1 / HIGH, to HIGH
        fits = _is_threshold(threshold, has_low=is_ratio)
        if not fits or (is_ratio and "_" not in str(threshold) and float(threshold) <= 1):
            words = (
                "above 1, or LOW_HIGH with 0 < LOW < HIGH, such as 0.5_2.0"
                if is_ratio
                else "above 0, without LOW_"
            )
            raise ConfigError(f"{place}={value}: for {option} use a number {words}")


def _is_threshold(value: Any, *, has_low: bool) -> bool:
    """A number above 0 or, with `has_low`, two of them with `_` between, the smaller one first."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    parts = str(value).split("_", 1) if has_low else [str(value)]
    try:
        numbers = [float(part) for part in parts if "_" not in part]
    except ValueError:
        return False
    if len(numbers) != len(parts) or not all(0 < number < math.inf for number in numbers):
        return False
    return len(numbers) == 1 or numbers[0] < numbers[1]

"""An optimiser's values, of an RL run's actor or of an SFT run, that its class or its schedule would refuse late."""

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.json_text import is_number
from verl_coder.launch.preflight.values import shown

_NOT_NEGATIVE = ("lr", "weight_decay")
_CLIPS = ("clip_grad", "grad_clip")
"""verl takes the second, its old name, where it is set. 0 would take every gradient away, -1 turn it round."""
_RATIOS = ("lr_warmup_steps_ratio", "min_lr_ratio")


def check_optimiser(config: DictConfig, section: str) -> None:
    """ConfigError for the first value of `section` that is out of its range: the place and what to use."""
    for name in _NOT_NEGATIVE:
        value = OmegaConf.select(config, f"{section}.{name}")
        is_unset = value is None and name != "lr"
        if not (is_unset or (is_number(value) and value >= 0)):
            raise _refusal(section, name, value, "a number of 0 or more")
    for name in _RATIOS:
        value = OmegaConf.select(config, f"{section}.{name}")
        if not (value is None or (is_number(value) and 0 <= value <= 1)):
            raise _refusal(section, name, value, "a number in [0, 1]")
    for name in _CLIPS:
        value = OmegaConf.select(config, f"{section}.{name}")
        if not (value is None or (is_number(value) and value > 0)):
            raise _refusal(section, name, value, "a number above 0, the largest norm of a gradient")
    betas = OmegaConf.select(config, f"{section}.betas")
    if not (betas is None or _are_betas(betas)):
        raise _refusal(section, "betas", betas, "two numbers in [0, 1), such as [0.9,0.95]")


def _are_betas(value: Any) -> bool:
    """Adam's: how much of the mean of the gradients, and of their squares, a step keeps."""
    return (
        isinstance(value, ListConfig)
        and len(value) == 2
        and all(is_number(beta) and 0 <= beta < 1 for beta in value)
    )


def _refusal(section: str, name: str, value: Any, words: str) -> ConfigError:
    return ConfigError(f"{section}.{name}={shown(value)}: use {words}")

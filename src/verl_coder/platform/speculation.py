"""How vLLM guesses tokens in the settings of a run, an evaluation and a file of config/speculation."""

import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError

PLACE = "actor_rollout_ref.rollout.engine_kwargs.vllm.speculative_config"


def speculation_in(config: DictConfig) -> dict[str, Any]:
    """vLLM's `speculative_config`, JSON in settings; empty without guesses. ConfigError if it is no object."""
    given = OmegaConf.select(config, PLACE) or "{}"
    if OmegaConf.is_config(given):
        given = json.dumps(OmegaConf.to_container(given, resolve=True))
    try:
        told = json.loads(given)
    except (ValueError, TypeError) as error:
        raise _refused(given, str(error)) from error
    if not isinstance(told, dict):
        raise _refused(given, "it is none")
    return told


def guessed_tokens(config: DictConfig) -> int:
    """Tokens that vLLM guesses of a sequence in a step; ConfigError for what is no setting."""
    told = speculation_in(config)
    try:
        return int(told.get("num_speculative_tokens") or 0)
    except (ValueError, TypeError) as error:
        raise _refused(told, str(error)) from error


def _refused(given: object, reason: str) -> ConfigError:
    return ConfigError(f"{PLACE}={given}: give an object in JSON, as config/speculation has it ({reason})")

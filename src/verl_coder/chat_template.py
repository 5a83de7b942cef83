"""Options of a model's chat template, such as Qwen3's `enable_thinking`: the same for SFT, training and evaluation."""

import json
from typing import Any

from verl_coder.errors import ConfigError

HELP = (
    "JSON for the chat template, such as '{\"enable_thinking\": false}': the RL run's "
    "data.apply_chat_template_kwargs."
)


def options_of_run(config: Any) -> dict[str, Any]:
    """`data.apply_chat_template_kwargs` of a run's configuration as plain values, empty without any."""
    from omegaconf import OmegaConf

    found: Any = OmegaConf.select(config, "data.apply_chat_template_kwargs") or {}
    if OmegaConf.is_config(found):
        found = OmegaConf.to_container(found, resolve=True)
    return {str(name): value for name, value in found.items()}


def template_options(text: str | None) -> dict[str, Any]:
    """`--chat-template-kwargs` as a mapping, empty without one; ConfigError where it is no JSON object."""
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            f"--chat-template-kwargs {text}: a JSON object of names and values, such as "
            "'{\"enable_thinking\": false}'"
        )
    return found

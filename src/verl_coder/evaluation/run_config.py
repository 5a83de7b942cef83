"""The configuration that a run left, which an evaluation of its model, or one like it, is set by."""

import dataclasses
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from verl_coder.errors import ConfigError
from verl_coder.evaluation.model_source import ModelSource
from verl_coder.files import given_folder
from verl_coder.paths import repository_root
from verl_coder.platform.environment import cpu_platform_selected
from verl_coder.platform.processor import multiplies_bfloat16
from verl_coder.platform.speculation import speculation_in
from verl_coder.yaml_files import read_mapping

_OF_A_RUN = ("data.max_prompt_length", "data.max_response_length")
"""Whole numbers that the configuration of every run has."""
_ROLLOUT = "actor_rollout_ref.rollout"
_OF_THE_COMMAND = ("tool_config_path", "max_assistant_turns", "enable")
NUMBER_FORMATS = ("bfloat16", "float16", "float32")
"""Of a model's weights and sums."""


def run_config(model: ModelSource, like: str | None) -> DictConfig | None:
    """Of the model's own run, or of the one that --like names; ConfigError where that is none."""
    folder = Path(like) if like else model.run.path if model.run else None
    if folder is None:
        return None
    path = folder if folder.suffix == ".yaml" else given_folder(folder) / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"--like {like}: {path} is missing; name the folder of a run")
    otherwise = "name the folder of a run, or its config.yaml"
    read_mapping(path, otherwise, place=f"--like {path}" if like else "")
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    for key in _OF_A_RUN:
        try:
            value = OmegaConf.select(config, key)
        except OmegaConfBaseException as error:
            raise ConfigError(
                f"{path}: {key} cannot be read ({str(error).splitlines()[0]}): {otherwise}"
            ) from error
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"{path} is not the configuration of a run, its {key} is {value}: {otherwise}")
    return config


def shipped_agent_loops() -> Path:
    """The YAML of the agent loops that come with verl-coder."""
    return repository_root() / "config" / "agent_loops.yaml"


def agent_loops_of(run: DictConfig | None) -> Path:
    """The YAML of a run's agent loops; the shipped one without a run, and where the run's is on another machine."""
    given = OmegaConf.select(run, f"{_ROLLOUT}.agent.agent_loop_config_path") if run is not None else None
    return Path(given) if given and Path(given).is_file() else shipped_agent_loops()


def multi_turn_of(run: DictConfig | None) -> dict[str, Any]:
    """How agent loops are set, by verl's defaults, config/base.yaml and the run, but for what the command says."""
    from verl.workers.config import MultiTurnConfig

    known = {item.name: item.default for item in dataclasses.fields(MultiTurnConfig)}
    for config in (OmegaConf.load(repository_root() / "config" / "base.yaml"), run):
        node = OmegaConf.select(config, f"{_ROLLOUT}.multi_turn") if config is not None else None
        found = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else {}
        assert isinstance(found, dict)
        known |= {str(name): value for name, value in found.items() if name in known}
    return {name: value for name, value in known.items() if name not in _OF_THE_COMMAND and name[0] != "_"}


def speculation_of(name: str) -> dict[str, Any] | None:
    """vLLM's `speculative_config` of a file of config/speculation; ConfigError where there is none of that name."""
    folder = repository_root() / "config" / "speculation"
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in names:
        raise ConfigError(f"--speculation {name}: there are {', '.join(names)}")
    settings = OmegaConf.load(folder / f"{name}.yaml")
    assert isinstance(settings, DictConfig)
    return speculation_in(settings) or None


def number_format(wanted: str, run: DictConfig | None) -> str:
    """What `wanted` comes to: `auto` is that of the run's own rollouts.

    Without a run it is bfloat16, and float32 on a processor that only emulates its products.
    """
    if wanted != "auto":
        return wanted
    of_run = OmegaConf.select(run, "actor_rollout_ref.rollout.dtype") if run is not None else None
    if of_run in NUMBER_FORMATS:
        return str(of_run)
    return "float32" if cpu_platform_selected() and not multiplies_bfloat16() else "bfloat16"

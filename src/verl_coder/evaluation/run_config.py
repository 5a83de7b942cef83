"""The configuration that a run left, which an evaluation of its model, or one like it, takes its limits from."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from verl_coder.errors import ConfigError
from verl_coder.evaluation.model_source import ModelSource
from verl_coder.files import given_folder
from verl_coder.yaml_files import read_mapping

_OF_A_RUN = ("data.max_prompt_length", "data.max_response_length")
"""Whole numbers that the configuration of every run has."""


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

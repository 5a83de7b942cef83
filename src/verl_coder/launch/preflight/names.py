"""Modules, classes, files and cards that settings name: looked up here, where a run looks them up in its workers."""

import importlib.util
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.importing import load_class
from verl_coder.launch.cards import check_card
from verl_coder.run.settings import Settings
from verl_coder.words import choose_one

_BACKEND = "actor_rollout_ref.rollout.checkpoint_engine.custom_backend_module"
ATTENTIONS = (
    *("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"),
    *("packed", "shared_prefix"),
)
"""transformers' and ours; a kernel of the hub is named owner/name."""


def check_names(config: DictConfig, settings: Settings) -> None:
    """ConfigError for the first setting that names something that is not there."""
    _check_modules(config, _BACKEND)
    check_model_names(config, model="actor_rollout_ref.model", optim="actor_rollout_ref.actor.optim")
    path = OmegaConf.select(config, "data.custom_cls.path")
    if path and "://" not in str(path) and not Path(str(path)).is_file():
        raise ConfigError(f"data.custom_cls.path={path}: no such file")
    check_card(settings.plan_for)


def check_model_names(config: DictConfig, *, model: str, optim: str) -> None:
    """ConfigError where the section `model` names a library or an attention, or `optim` a class, that is not there."""
    library = f"{model}.external_lib"
    _check_modules(config, library)
    _check_attention(config, f"{model}.override_config.attn_implementation", library)
    _check_optimiser(config, optim)


def _check_modules(config: DictConfig, place: str) -> None:
    value = OmegaConf.select(config, place)
    for name in value if isinstance(value, ListConfig) else [value]:
        if name is not None:
            _check_module(place, str(name))


def _check_module(place: str, name: str) -> None:
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        raise ConfigError(f"{place}={name}: no such module: install it, or name another")


def may_register(library: object) -> bool:
    """Whether `external_lib` is another one's, which may register attentions or losses of its own."""
    return library is not None and not str(library).startswith("verl_coder.")


def _check_attention(config: DictConfig, place: str, library_place: str) -> None:
    value, library = OmegaConf.select(config, place), OmegaConf.select(config, library_place)
    if value is not None and not may_register(library) and value not in ATTENTIONS and "/" not in str(value):
        raise ConfigError(f"{place}={value}: {choose_one(value, ATTENTIONS)}")


def _check_optimiser(config: DictConfig, place: str) -> None:
    section = OmegaConf.select(config, place)
    if section is None or not section.get("optimizer_impl"):
        return
    try:
        load_class(f"{section.optimizer_impl}.{section.optimizer}")
    except ConfigError as error:
        raise ConfigError(f"{place}.optimizer={section.optimizer}: {error}") from error

"""A recipe folder and command-line overrides -> one checked verl configuration."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from verl_coder.errors import ConfigError
from verl_coder.installation import how_to_install
from verl_coder.launch.override_errors import check_forms, closest, explain
from verl_coder.paths import recipe_names, repository_root
from verl_coder.words import did_you_mean
from verl_coder.yaml_files import read_yaml

OPEN_MAPPINGS = {
    "verl_coder",  # checked by settings.parse_settings
    "ray_kwargs.ray_init",
    "transfer_queue",
    "actor_rollout_ref.model.override_config",
    "actor_rollout_ref.rollout.engine_kwargs",
    "actor_rollout_ref.rollout.checkpoint_engine.engine_kwargs",
    "reward.reward_kwargs",
    "reward.custom_reward_function.reward_kwargs",  # parameters of the file's function
    "trainer.v1.sampler.sampler_kwargs",
    "data.apply_chat_template_kwargs",
}
"""Mappings that verl hands on to another library, so that it does not name their keys."""


def find_recipe(name: str) -> Path:
    """Folder of a recipe, by its name or by a path to a folder with a recipe.yaml."""
    for folder in (repository_root() / "recipes" / name, Path(name).expanduser()):
        if (folder / "recipe.yaml").is_file():
            return folder.resolve()
    there = f"there are {', '.join(recipe_names())} (or give a folder's path)"
    raise ConfigError(f"no recipe {name!r}; {did_you_mean(name, recipe_names(), there)}")


def compose(folder: Path, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose `folder`/recipe.yaml over verl's tree; every key of the YAML files must exist in verl's."""
    config = read_recipe(folder, overrides)
    check_keys(config, folder, overrides)
    return config


def read_recipe(folder: Path, overrides: Sequence[str] = ()) -> DictConfig:
    """The first half of `compose`, which imports neither verl nor torch: the sections are there, keys are not checked.

    Hydra refuses an override whose key does not exist (`+key=value` adds one on purpose).
    """
    from hydra import initialize_config_dir

    check_forms(overrides)
    _read_gpu_knob()
    verl = verl_tree()
    _check_recipe_file(folder / "recipe.yaml")
    with initialize_config_dir(str(folder), version_base=None):
        config = _hydra_compose(
            "recipe", overrides, folder.name, lambda: _hydra_compose("recipe", (), folder.name)
        )
    _check_sections(config, verl)
    return config


def check_keys(config: DictConfig, folder: Path, overrides: Sequence[str]) -> None:
    """Refuse keys that verl does not have and would accept silently; verl's dataclasses name some, so it is imported.

    Those that `overrides` add are left alone, and what holds them.
    """
    verl = verl_tree()
    added = [override.partition("=")[0].lstrip("+") for override in overrides if override.startswith("+")]
    unknown = _unknown_keys(
        OmegaConf.to_container(config, resolve=False), OmegaConf.to_container(verl, resolve=False), ""
    )
    extra = [key for key in unknown if not any(f"{name}.".startswith(f"{key}.") for name in added)]
    if extra:
        close = closest(extra[0], verl)
        hint = f"; did you mean {close}?" if close else ""
        raise ConfigError(f"recipe {folder.name}: verl has no key {extra[0]}{hint}")


def _read_gpu_knob() -> None:
    """Let an empty N_GPUS be none, as other knobs are; ConfigError for what is no number, which YAML would not name."""
    given = os.environ.get("N_GPUS")
    if given is None:
        return
    if not given.strip():
        del os.environ["N_GPUS"]
    elif not given.strip().isdecimal():
        raise ConfigError(f"N_GPUS={given}: use a whole number of 1 or more")
    else:
        os.environ["N_GPUS"] = given.strip()


_DEFAULTS = "`defaults: [ppo_trainer, base, hardware/cpu, _self_]`, as those of recipes/ begin"


def _check_recipe_file(path: Path) -> None:
    values = read_yaml(path, str(path))
    if not isinstance(values, Mapping) or "defaults" not in values:
        raise ConfigError(f"{path} begins without defaults: give {_DEFAULTS}")


@cache
def verl_tree() -> DictConfig:
    """verl's own configuration, in which the keys of a recipe are looked up."""
    from hydra import initialize_config_dir

    with initialize_config_dir(str(_verls_folder()), version_base=None):
        return _hydra_compose("ppo_trainer", (), "verl")


def sft_tree(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration of verl's SFT trainer with the overrides; ConfigError names one that no setting takes."""
    from hydra import initialize_config_dir

    name = "sft_trainer_engine"
    with initialize_config_dir(str(_verls_folder()), version_base=None):
        return _hydra_compose(name, overrides, "sft", lambda: _hydra_compose(name, (), "sft"))


def _verls_folder() -> Path:
    """verl's YAML files, found without importing verl, which takes torch and seconds; ConfigError where it is not."""
    spec = find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"verl is not installed: {how_to_install()}")
    return Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config"


def file_list(value: Any) -> list[Path]:
    """`data.train_files` as a list of paths."""
    values = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if values is None:
        return []
    return [Path(str(path)) for path in (values if isinstance(values, list) else [values])]


def _hydra_compose(
    name: str, overrides: Sequence[str], place: str, known: Callable[[], DictConfig] | None = None
) -> DictConfig:
    """Compose; where an override names no setting, `known` gives those that there are."""
    from hydra import compose as hydra_compose
    from hydra.errors import HydraException

    from verl_coder.launch.kept_files import kept

    folders = (_verls_folder(), repository_root() / "config")
    searchpath = f"hydra.searchpath=[{','.join(quoted(kept(folder)) for folder in folders)}]"
    try:
        return hydra_compose(name, overrides=[searchpath, *map(_as_text, overrides)])
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, place, overrides, known) from error
    except (yaml.YAMLError, ValueError) as error:  # of a fragment, of an override that names a group
        given = f" (of {' '.join(overrides)})" if overrides else ""
        raise ConfigError(f"{place}: {' '.join(str(error).split())}{given}") from error


_COMMA_SEPARATED = ("verl_coder.sandbox_url", "data.train_files", "data.val_files")
"""Keys whose value is a text with commas, which Hydra would take for a sweep."""
_CORRECTION = tuple(
    f"algorithm.rollout_correction.rollout_{name}" for name in ("rs", "is_threshold", "rs_threshold")
)
"""With commas, too, or of the form LOW_HIGH: Hydra would read 0.5_2 as 0.52."""


def _as_text(override: str) -> str:
    """The override, with its value in quotes where Hydra would take that text for something else."""
    key, _, value = override.partition("=")
    key_name = key.lstrip("+")
    is_text = key_name in _COMMA_SEPARATED or (key_name in _CORRECTION and not {*value}.isdisjoint(",_"))
    if is_text and value and value[0] not in "'\"[":
        return f"{key}={quoted(value)}"
    return override


def quoted(text: str) -> str:
    """`text` as a quoted value of Hydra's grammar, whatever characters it has."""
    if text.endswith("\\"):
        raise ConfigError(f"{text}: Hydra reads no path that ends in a backslash")
    return "'" + text.replace("\\'", "\\\\'").replace("'", "\\'") + "'"


def _check_sections(config: DictConfig, verl: DictConfig) -> None:
    """ConfigError where a section of verl's, or ours, is no section any more: null, a text, a list."""
    ours = OmegaConf.to_container(config, resolve=False)
    sections = OmegaConf.to_container(verl, resolve=False)
    assert isinstance(ours, dict) and isinstance(sections, dict)
    sections |= {"verl_coder": {"seed": 0}}
    ours |= {key: None for key, value in sections.items() if isinstance(value, dict) and key not in ours}
    found = _lost_section(ours, sections, "")
    if found:
        place, value, keys = found
        shown = "null" if value is None else value
        raise ConfigError(
            f"{place}={shown}: it is a section, set its keys: {', '.join(map(str, keys)) or 'any'}"
        )


def _lost_section(ours: Any, verl: Any, prefix: str) -> tuple[str, Any, Sequence[Any]] | None:
    """(place, value, keys) of the first section of `verl` that is none in `ours`."""
    for key, section in verl.items():
        if not isinstance(section, Mapping) or key not in ours:
            continue
        value, place = ours[key], f"{prefix}{key}"
        if isinstance(value, str) and value.startswith("${"):
            continue
        if not isinstance(value, Mapping):
            return place, value, [name for name in section if name != "_target_"][:_NAMED_KEYS]
        found = _lost_section(value, section, f"{place}.")
        if found:
            return found
    return None


_NAMED_KEYS = 6


def _unknown_keys(ours: Any, verl: Any, prefix: str) -> list[str]:
    if not isinstance(ours, Mapping) or prefix.rstrip(".") in OPEN_MAPPINGS:
        return []
    known = set(verl) if isinstance(verl, Mapping) else set()
    if set(ours) - known:
        known |= _target_fields(verl)
    unknown = []
    for key, value in ours.items():
        path = f"{prefix}{key}"
        if path in OPEN_MAPPINGS:
            continue
        if key not in known:
            unknown.append(path)
        elif isinstance(verl, Mapping) and isinstance(verl.get(key), Mapping):
            unknown += _unknown_keys(value, verl[key], f"{path}.")
    return unknown


def _target_fields(node: Any) -> set[str]:
    """Fields of the dataclass that a node's `_target_` names: verl's YAML does not list all of them."""
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if not target:
        return set()
    from hydra.utils import get_class

    cls = get_class(target)
    return {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()

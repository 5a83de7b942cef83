"""The keys of verl's configuration in any version: composed from its YAML files, without importing it."""

from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from verl_coder.errors import ConfigError
from verl_coder.upgrade.foreign import Foreign

ROOTS = ("ppo_trainer", "sft_trainer_engine")
"""The configurations that we build on: training, and SFT."""


class ConfigTree:
    """`kind("trainer.v1.trainer_mode")` is `section`, `value` or None."""

    def __init__(self, foreign: Foreign) -> None:
        self.foreign = foreign

    @cached_property
    def trees(self) -> list[Any]:
        """The configurations of ROOTS; read at the first key that is asked for."""
        package = self.foreign.folder("verl")
        return [_composed(package / "trainer" / "config", name) for name in ROOTS] if package else []

    def kind(self, key: str) -> str | None:
        """Whether verl has the key, in its YAML or in the data class that a `_target_` names."""
        for tree in self.trees:
            found = self._look(tree, key.split("."))
            if found:
                return found
        return None

    def _look(self, node: Any, parts: list[str]) -> str | None:
        for at, part in enumerate(parts):
            if not isinstance(node, dict):
                return None
            if part not in node:
                is_field = at == len(parts) - 1 and part in self._fields(node.get("_target_"))
                return "value" if is_field else None
            node = node[part]
        return "section" if isinstance(node, dict) else "value"

    def _fields(self, target: Any) -> list[str]:
        found = self.foreign.find(target) if isinstance(target, str) else None
        takes = self.foreign.takes(found) if found is not None else None
        return [word.partition("=")[0] for word in takes or []]


def _composed(folder: Path, name: str) -> Any:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    if not (folder / f"{name}.yaml").is_file():
        return {}
    generated = folder / f"_generated_{name}.yaml"
    if generated.is_file():
        return yaml.load(generated.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        with initialize_config_dir(str(folder), version_base=None):
            return OmegaConf.to_container(compose(name), resolve=False)
    except Exception as error:  # of Hydra, of many kinds
        raise ConfigError(f"verl's {name}.yaml in {folder} cannot be composed: {error}") from error

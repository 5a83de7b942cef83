"""Classes that a YAML names by their dotted path."""

import importlib
from typing import Any

from verl_coder.errors import ConfigError


def load_class(dotted: str) -> Any:
    """The class `package.module.Name`; ConfigError, with the reason, where there is none."""
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"no class {dotted} ({error})") from error

"""Where the repository's content folders are: recipes, config, tool_config, rewards, data_prep."""

import os
from pathlib import Path

from verl_coder.errors import ConfigError


def repository_root() -> Path:
    """The checkout that holds `recipes/`: VERL_CODER_ROOT, else the one this package is installed from."""
    root = Path(os.environ.get("VERL_CODER_ROOT") or Path(__file__).resolve().parents[2])
    if not (root / "recipes").is_dir():
        raise ConfigError(f"{root} has no recipes/ folder: set VERL_CODER_ROOT to a checkout of verl-coder")
    return root


def resolve_content_path(value: str) -> Path:
    """A path from a recipe or the command line: as given, else relative to the repository."""
    path = Path(value).expanduser()
    if path.is_absolute() or path.exists():
        return path.resolve()
    return repository_root() / path

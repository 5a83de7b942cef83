"""Where the repository's content folders are: recipes, config, tool_config, rewards, data_prep."""

import os
from pathlib import Path

from verl_coder.errors import ConfigError


def repository_root() -> Path:
    """The checkout with the content folders: VERL_CODER_ROOT, else the one that this package is installed from, else
    the working folder's. ConfigError where there is none.
    """
    given = os.environ.get("VERL_CODER_ROOT")
    if given:
        if not (Path(given) / "recipes").is_dir():
            raise ConfigError(
                f"{given} has no recipes/ folder: set VERL_CODER_ROOT to a checkout of verl-coder"
            )
        return Path(given)
    installed_from = Path(__file__).resolve().parents[2]
    for folder in (installed_from, Path.cwd(), *Path.cwd().parents):
        if (folder / "recipes").is_dir() and (folder / "config" / "base.yaml").is_file():
            return folder
    raise ConfigError(
        f"no recipes/ and config/base.yaml at {installed_from} or above the working folder: set VERL_CODER_ROOT to a "
        "checkout of verl-coder"
    )


def recipe_names() -> list[str]:
    """Names of the folders under recipes/ that hold a recipe.yaml."""
    return sorted(path.parent.name for path in (repository_root() / "recipes").glob("*/recipe.yaml"))


def resolve_content_path(value: str) -> Path:
    """A path from a recipe or the command line: as given, else relative to the repository."""
    path = Path(value).expanduser()
    if path.is_absolute() or path.exists():
        return path.resolve()
    return repository_root() / path

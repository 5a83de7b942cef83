"""Where the content folders are that users edit, and where data/ and outputs/ go."""

import os
import re
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.files import is_there
from verl_coder.words import nearest

CONTENT_FOLDERS = ("recipes", "config", "tool_config", "rewards", "losses", "data_prep", "requirements")
"""What the package reads beside its own code. setup.py puts a copy of each into a wheel."""
CONTENT_OF_THE_WHEEL = "content"
"""Folder inside the package that holds the copies in a wheel; a checkout has none."""
HUB_NAME = re.compile(r"(?!\.{1,2}/)[\w.-]+/[\w.-]+")
"""`owner/name` of a model, and no path."""
_OURS = (*CONTENT_FOLDERS, "data", "outputs", "src")
"""What paths of a checkout begin with: taken for no owner on the hub."""
_PACKAGE = Path(__file__).resolve().parent


def is_hub_name(value: str) -> bool:
    """Whether it can be the name of a model on the hub, `owner/name`: `outputs/mine` is a path, there or not."""
    return HUB_NAME.fullmatch(value) is not None and value.partition("/")[0] not in _OURS


def repository_root() -> Path:
    """The folder with the content folders, which is, in this order: VERL_CODER_ROOT, the checkout that this package
    is installed from, one at or above the working folder, the copy that came with the wheel.

    ConfigError where there is none.
    """
    given = os.environ.get("VERL_CODER_ROOT")
    if given:
        if not (Path(given) / "recipes").is_dir():
            raise ConfigError(
                f"{given} has no recipes/ folder: set VERL_CODER_ROOT to a checkout of verl-coder"
            )
        return Path(given).resolve()
    installed_from = _PACKAGE.parents[1]
    for folder in (installed_from, Path.cwd(), *Path.cwd().parents, _wheels_content()):
        if (folder / "recipes").is_dir() and (folder / "config" / "base.yaml").is_file():
            return folder
    raise ConfigError(
        f"no recipes/ and config/base.yaml at {installed_from} or above the working folder: set VERL_CODER_ROOT to a "
        "checkout of verl-coder"
    )


def work_root() -> Path:
    """The folder that data/ and outputs/ go to: the repository, or the working folder where there is no repository
    but the copy that came with the wheel.
    """
    root = repository_root()
    return Path.cwd() if root.resolve() == _wheels_content() else root


def recipe_names() -> list[str]:
    """Names of the folders under recipes/ that hold a recipe.yaml."""
    return sorted(path.parent.name for path in (repository_root() / "recipes").glob("*/recipe.yaml"))


def places_of(value: str) -> list[Path]:
    """Where `resolve_content_path` looks for a path, in this order: one place for an absolute one."""
    path = Path(value).expanduser()
    roots = (Path.cwd(), repository_root().resolve(), work_root().resolve())
    return list(dict.fromkeys(root / path for root in roots))


def resolve_content_path(value: str) -> Path:
    """A path from a recipe or the command line: as given, else in the repository, the package or `work_root()`."""
    path = Path(value).expanduser()
    if path.is_absolute() or is_there(path):
        return path.resolve()
    in_repository = repository_root() / path
    if is_there(in_repository):
        return in_repository
    if path.parts[:2] == ("src", _PACKAGE.name):
        in_package = _PACKAGE.joinpath(*path.parts[2:])
        return in_package if in_package.exists() else in_repository
    return work_root() / path


def own_folder(value: str, place: str) -> Path:
    """The folder, absolute, that a run or a pipeline has for itself; ConfigError of `place` where it can be none."""
    try:
        folder = Path(value).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{place}={value!r:.80}: no path ({getattr(error, 'strerror', error)})") from error
    if not value or folder in (Path("/"), repository_root().resolve()):
        raise ConfigError(f"{place}={value}: name a folder of its own, such as outputs/mine")
    return folder


def check_tools_file(path: Path, place: str, *, or_none: bool = False) -> None:
    """ConfigError of `place` where a YAML of tools is not there, with the nearest of tool_config/.

    `or_none`: the word none may stand in its place.
    """
    _check_content_file(path, place, "tool_config/*.yaml", or_none)


def check_reward_file(path: Path, place: str) -> None:
    """ConfigError of `place` where a file of a reward is not there, with the nearest of rewards/."""
    _check_content_file(path, place, "rewards/*.py")


def check_loss_file(path: Path, place: str) -> None:
    """ConfigError of `place` where a file of a policy loss is not there, with the nearest of losses/."""
    _check_content_file(path, place, "losses/*.py")


def _check_content_file(path: Path, place: str, pattern: str, or_none: bool = False) -> None:
    if is_there(path):
        if path.is_file():
            return
        raise ConfigError(f"{place} is {'a folder' if path.is_dir() else 'no file'}: name a file")
    folder, _, files = pattern.partition("/")
    shipped = {file.stem: file.name for file in sorted((repository_root() / folder).glob(files))}
    close = nearest(
        path.stem, [*shipped, *(["none"] if or_none and len(path.name) <= len("none") + 1 else [])]
    )
    if close:
        hint = f"did you mean {f'{folder}/{shipped[close]}' if close in shipped else close}?"
    else:
        hint = f"{folder}/ has {', '.join(shipped.values())}{'; or none' if or_none else ''}"
    raise ConfigError(f"{place}: no such file; {hint}")


def _wheels_content() -> Path:
    return _PACKAGE / CONTENT_OF_THE_WHEEL

"""What is wrong with the overrides of a recipe, in one line that names the nearest of what there is."""

import re
from collections.abc import Callable, Sequence

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from verl_coder.errors import ConfigError
from verl_coder.paths import repository_root
from verl_coder.words import did_you_mean, nearest

_NOT_IN_DEFAULTS = re.compile(r"Could not override '([^'@]+)[^']*'\. No match in the defaults list")


def check_forms(overrides: Sequence[str]) -> None:
    """ConfigError for the first word that is no `key=value`, nor `~key`, which takes one away."""
    for override in overrides:
        key, colon, value = override.partition(":")
        if override.startswith("-"):
            raise ConfigError(f"{override} is neither an option nor an override, which is key=value")
        if "=" not in override and not override.startswith("~"):
            form = f"did you mean {key}={value.strip()}?" if colon and value else "write key=value"
            raise ConfigError(f"{override} is no override; {form}")


def explain(
    error: Exception, place: str, overrides: Sequence[str], known: Callable[[], DictConfig] | None
) -> ConfigError:
    """The error of Hydra's composition as one of ours; `known` gives the settings that there are."""
    from hydra.errors import MissingConfigException, OverrideParseException

    cause = error.__cause__
    if known is not None and isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        missing, ours = cause.full_key, known()
        close = closest(missing, ours)
        hint = f"did you mean {close}?" if close else f"there are {_siblings(missing, ours)}"
        return ConfigError(f"{place}: no setting {missing}; {hint}")
    if isinstance(error, OverrideParseException):
        return ConfigError(f"{place}: {error.override} cannot be read: quote its value (key='value')")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        what = f"no {name} in config/{group}/" if group else f"no config {name}"
        return ConfigError(f"{place}: {what}; {did_you_mean(name, error.options or _choices(group))}")
    if found := _NOT_IN_DEFAULTS.search(str(error)):
        return ConfigError(f"{place}: {_not_in_defaults(found[1], overrides)}")
    lines = " ".join(str(cause or error).split())
    return ConfigError(f"{place}: {lines[:400]}")


def _not_in_defaults(group: str, overrides: Sequence[str]) -> str:
    """A group of which the recipe's defaults name none: a value of it is put on top."""
    value = next((o.partition("=")[2] for o in overrides if re.match(rf"{re.escape(group)}\b", o)), "")
    choices = _choices(group)
    if not choices:
        return f"no setting {group}; {did_you_mean(group, _groups(), 'config/ has no such folder either')}"
    if value in choices:
        return f"{group}={value} takes the place of nothing: write +{group}={value} to put it on top"
    close = nearest(value, choices)
    hint = f"did you mean +{group}={close}?" if close else f"+{group}= takes {', '.join(choices)}"
    return f"no {value} in config/{group}/; {hint}"


def closest(path: str, config: DictConfig) -> str | None:
    """The setting that the misspelt `path` may mean: one of those beside it, at the top a folder of config/ too."""
    parent, _, key = path.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    beside = [*map(str, node), *([] if parent else _groups())] if isinstance(node, DictConfig) else []
    close = nearest(key, beside)
    return f"{parent}.{close}".lstrip(".") if close else None


def _siblings(path: str, config: DictConfig) -> str:
    """The settings beside `path`, or beside its first part that does not exist."""
    while path:
        path = path.rpartition(".")[0]
        node = OmegaConf.select(config, path) if path else config
        if isinstance(node, DictConfig):
            return f"{', '.join(str(key) for key in node)} under {path or 'the top level'}"
    return "none"


def _groups() -> list[str]:
    return sorted(path.name for path in (repository_root() / "config").iterdir() if path.is_dir())


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (repository_root() / "config" / group).glob("*.yaml"))

"""YAML files that users write, read strictly: what is wrong with one is a line that names its place in the file."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from verl_coder.errors import ConfigError

_TWICE = "is there twice"


class _Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, of which PyYAML silently takes the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} {_TWICE}: take one out", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path, place: str = "") -> Any:
    """The values of a file; ConfigError of one line, `line 3, column 5: why`, behind the `place` where one is given."""
    before = f"{place}: " if place else ""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Strict)
    except FileNotFoundError as error:
        raise ConfigError(f"{before}there is no such file") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{before}it is a folder: name a YAML file") from error
    except OSError as error:
        raise ConfigError(f"{before}it cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{before}it is no UTF-8 text ({error.reason} at byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        why = error.problem or error.context or "it is no YAML"
        tab = " (a tab: YAML indents with spaces)" if "'\\t'" in why else ""
        raise ConfigError(f"{before}{where}{'' if _TWICE in why else 'it is no YAML, '}{why}{tab}") from error
    except RecursionError as error:
        raise ConfigError(
            f"{before}it is no YAML for settings: brackets within brackets beyond all measure"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{before}it is no YAML ({' '.join(str(error).split())})") from error


def read_mapping(path: Path, otherwise: str, *, place: str = "") -> dict[str, Any]:
    """The mapping in a file; ConfigError, at `place` (else its path), with `otherwise` to do, where it holds none."""
    place = place or str(path)
    try:
        found = read_yaml(path, place)
    except ConfigError as error:
        if not path.is_file():
            raise
        raise ConfigError(f"{error}: {otherwise}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{place} holds no mapping: {otherwise}")
    return {str(name): value for name, value in found.items()}

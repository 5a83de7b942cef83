"""The lines of config/agent_loops.yaml: which agent loops there are beside verl's own. Knows no verl."""

from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.yaml_files import read_yaml


def read_entries(path: Path) -> dict[str, dict[str, Any]]:
    """The lines by `name`, each with its `_target_` and the settings of the loop; ConfigError of one line."""
    place = f"agent_loop_config_path: {path}"
    lines = read_yaml(path, place)
    wanted = f"{place}: give a list of name, _target_"
    if not isinstance(lines, list):
        raise ConfigError(wanted)
    for line in lines:
        lacks = [
            key
            for key in ("name", "_target_")
            if not isinstance(line, dict) or not isinstance(line.get(key), str)
        ]
        if lacks:
            raise ConfigError(f"{wanted}; {line!r:.80} lacks {lacks[0]!r}")
    return {line["name"]: line for line in lines}

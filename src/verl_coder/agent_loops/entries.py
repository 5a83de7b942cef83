"""The lines of config/agent_loops.yaml: which agent loops there are beside verl's own. Knows no verl."""

from pathlib import Path
from typing import Any

import yaml

from verl_coder.errors import ConfigError


def read_entries(path: Path) -> dict[str, dict[str, Any]]:
    """The lines by `name`, each with its `_target_` and the settings of the loop; ConfigError of one line."""
    try:
        lines = yaml.safe_load(path.read_text())
        return {str(line["name"]): {**line, "_target_": str(line["_target_"])} for line in lines}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise ConfigError(
            f"agent_loop_config_path: {path}: {reason}; give a list of name, _target_"
        ) from error

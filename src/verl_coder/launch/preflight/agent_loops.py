"""Which agent loops there are, and whether the rows of a run name one of them: known before Ray starts."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from verl_coder.errors import ConfigError, DataError
from verl_coder.importing import load_class
from verl_coder.protocols import agent_tags

OWN = frozenset({"single_turn_agent", "tool_agent"})
"""What verl registers itself."""


def check_agent_loops(loops: str | None, tools: str | None, files: Iterable[Path]) -> None:
    """ConfigError or DataError of one line: a loop that does not load or has no protocol, a row that names none.

    `loops` is `rollout.agent.agent_loop_config_path`, `tools` the YAML of the tools, `files` the Parquet files.
    """
    own = _load(Path(loops)) if loops else {}
    known = OWN | own.keys()
    for path in files:
        for name in _names(path):
            if name not in known:
                raise DataError(
                    f"{path}: a row names the agent loop {name!r}; there are {', '.join(sorted(known))} "
                    "(actor_rollout_ref.rollout.agent.agent_loop_config_path names a YAML with more)"
                )
            needed = getattr(own.get(name), "required_tool", None)
            if needed and needed not in _tool_names(tools):
                raise ConfigError(
                    f"{path} has rows of {name}, which runs programs with the tool {needed}, and "
                    f"TOOLS: {tools or 'nothing'} has none"
                )


def _load(path: Path) -> dict[str, Any]:
    """The classes of a YAML list of {name, _target_}, by name; every name must be a protocol's agent loop."""
    try:
        entries = [(str(entry["name"]), str(entry["_target_"])) for entry in yaml.safe_load(path.read_text())]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise ConfigError(
            f"agent_loop_config_path: {path}: {reason}; give a list of name, _target_"
        ) from error
    classes = {}
    for name, target in entries:
        try:
            classes[name] = load_class(target)
        except ConfigError as error:
            raise ConfigError(f"agent_loop_config_path: {path}: no class {target} for {name!r}") from error
        try:
            agent_tags(name)
        except ConfigError as error:
            raise ConfigError(f"agent_loop_config_path: {path}: {error}") from error
    return classes


def _names(path: Path) -> set[str]:
    column = pq.read_table(path, columns=["agent_name"]).column("agent_name")
    return {str(name) for name in pc.unique(column).to_pylist()}


def _tool_names(path: str | None) -> set[str]:
    tools: list[Mapping[str, Any]] = yaml.safe_load(Path(path).read_text())["tools"] if path else []
    return {tool["tool_schema"]["function"]["name"] for tool in tools}

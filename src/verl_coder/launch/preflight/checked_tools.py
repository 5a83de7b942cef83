"""The tools of a run as the check of their YAML (tools.py) left them: the other checks read that file no more."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CheckedTool:
    """One entry of the YAML, which can be made."""

    name: str
    """What the model calls it by."""
    tool_class: type[Any]
    sandbox_url: str
    """`config.sandbox_url`, comma-separated; empty where it takes the run's."""


@dataclass(frozen=True, kw_only=True)
class CheckedTools:
    """All of a run; none where it names no file."""

    path: str | None = None
    entries: tuple[CheckedTool, ...] = ()

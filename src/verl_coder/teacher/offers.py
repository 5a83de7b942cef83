"""The tools that a teacher's conversation has on offer: as requests describe them, and as they run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from verl_coder.protocols import ToolProtocol
from verl_coder.teacher.trace_tools import (
    DEBUGGER_AGENT_NAME,
    INTERPRETER,
    SESSION_AGENT_NAME,
    tools_of,
    tools_path,
)
from verl_coder.tools.execution import (
    InterpreterSettings,
    find_tool,
    listed_tools,
    read_interpreter,
    settings_of,
)

WITH_STATE = (SESSION_AGENT_NAME, DEBUGGER_AGENT_NAME)
"""Agent loops whose tools keep their state from call to call."""


@dataclass(frozen=True)
class Offer:
    """The tools of one protocol."""

    path: Path
    """Their YAML."""
    schemas: tuple[Mapping[str, Any], ...]
    """OpenAI's form; the interpreter alone where the tools keep no state."""
    settings: tuple[InterpreterSettings, ...]
    structured: bool = True
    """The server parses tool calls; else they are read from the text."""
    keeps_state: bool = False

    @cached_property
    def parameters(self) -> dict[str, Mapping[str, Any]]:
        """JSON schema of the arguments by the name of the tool."""
        functions = [schema["function"] for schema in self.schemas]
        return {str(function["name"]): function.get("parameters") or {} for function in functions}


class Offers:
    """The offer of each protocol, by the YAML that was named, else by the shipped one that the protocol needs."""

    def __init__(self, tools: Path | None, *, structured: bool = True) -> None:
        """ConfigError where `tools` is no YAML of tools."""
        if tools is not None:
            listed_tools(tools)
        self._tools, self._structured = tools, structured
        self._found: dict[str, Offer] = {}

    def of(self, protocol: ToolProtocol) -> Offer:
        """ConfigError where the YAML lacks a tool of the protocol."""
        if protocol.name not in self._found:
            self._found[protocol.name] = self._read(protocol)
        return self._found[protocol.name]

    def sandbox_url(self, protocols: Iterable[ToolProtocol]) -> str | None:
        """The first address of a sandbox that their YAMLs name."""
        settings = (one for protocol in protocols for one in self.of(protocol).settings)
        return next((one.sandbox_url for one in settings if one.sandbox_url), None)

    def _read(self, protocol: ToolProtocol) -> Offer:
        if protocol.tags is None:
            return Offer(Path(), (), ())
        if protocol.agent_name in WITH_STATE:
            path = tools_of(protocol, self._tools).path
            entries = [tool.entry for tool in listed_tools(path)]
            return Offer(
                path,
                tuple(entry["tool_schema"] for entry in entries),
                tuple(settings_of(entry, path) for entry in entries),
                self._structured,
                keeps_state=True,
            )
        path = tools_path(protocol, self._tools)
        _, settings = read_interpreter(path)
        found = find_tool(path, INTERPRETER)
        assert found is not None
        return Offer(path, (found.entry["tool_schema"],), (settings,), self._structured)

"""What a trace calls: by the agent loop of its rows, and the YAML of tools."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from verl_coder.paths import repository_root
from verl_coder.protocols import PROTOCOLS, Tags, ToolProtocol, find_protocol
from verl_coder.tools.execution import (
    DebuggerSettings,
    InterpreterSettings,
    find_tool,
    read_tool,
)

AGENT_NAME = find_protocol("tool").agent_name
PLAIN_AGENT_NAME = find_protocol("none").agent_name
FEEDBACK_AGENT_NAME = find_protocol("feedback").agent_name
SESSION_AGENT_NAME = find_protocol("session").agent_name
DEBUGGER_AGENT_NAME = find_protocol("debugger").agent_name
PROGRAM_AGENT_NAME = find_protocol("program").agent_name

INTERPRETER, SESSION, TESTS, DEBUGGER = "PythonInterpreter", "PythonSession", "RunTests", "PythonDebugger"
_TRIED_WITH: Mapping[str, tuple[str, ...]] = {
    AGENT_NAME: (INTERPRETER,),
    FEEDBACK_AGENT_NAME: (TESTS,),
    SESSION_AGENT_NAME: (TESTS, SESSION),
    DEBUGGER_AGENT_NAME: (INTERPRETER,),
    PROGRAM_AGENT_NAME: (INTERPRETER,),
}
"""Classes of tools that try an attempt, by agent loop: the first that the YAML has; the last it must have."""
TRACED_PROTOCOLS = tuple(name for name, protocol in PROTOCOLS.items() if protocol.agent_name in _TRIED_WITH)
"""Those whose rows `teacher repairs` takes."""


@dataclass(frozen=True, kw_only=True)
class TraceTools:
    """What tries attempts, and what looks at those that fail."""

    path: Path
    kind: str
    """Class of the tool that tries attempts: INTERPRETER, SESSION or TESTS."""
    name: str
    """By which it is called."""
    settings: InterpreterSettings
    debugger: DebuggerSettings | None = None
    debugger_name: str = ""
    tags: Tags | None = None
    """Between which a program stands in the model's own turn; None where a call names the tool."""

    @property
    def plays(self) -> bool:
        """Whether what a call gives depends on the calls before it."""
        return self.kind == SESSION or self.debugger is not None


def has_traces(agent_name: str) -> bool:
    """Whether `teacher repairs` writes conversations of this agent loop."""
    return agent_name in _TRIED_WITH


def tools_path(protocol: ToolProtocol, given: Path | None) -> Path:
    """The YAML that was named, else the shipped one of the protocol."""
    return given or repository_root() / "tool_config" / (protocol.tools or "")


def tools_of(protocol: ToolProtocol, given: Path | None) -> TraceTools:
    """Those of such rows in the YAML, or in the shipped one of their protocol; ConfigError where it has none."""
    agent_name, shipped = protocol.agent_name, protocol.tools or ""
    path = tools_path(protocol, given)
    classes = _TRIED_WITH[agent_name]
    read_tool(path, classes[-1], shipped)  # what its agent loop needs
    kind = next(one for one in classes if find_tool(path, one))
    name, settings = read_tool(path, kind, shipped)
    tags = protocol.tags if protocol.in_turn else None
    tools = TraceTools(path=path, kind=kind, name=name, settings=settings, tags=tags)
    if agent_name != DEBUGGER_AGENT_NAME:
        return tools
    debugger_name, debugger = read_tool(path, DEBUGGER, shipped)
    assert isinstance(debugger, DebuggerSettings)
    return replace(tools, debugger=debugger, debugger_name=debugger_name)

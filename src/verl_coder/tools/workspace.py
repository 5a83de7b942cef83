"""What one trajectory keeps in the sandbox: a session of each kind, from its first use to the trajectory's end."""

from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.sandbox import SandboxClient, SandboxSession

_IDLE_S = 900.0
"""The server ends sessions whose client is gone; after so long it ends what else nobody uses."""
RESTING_IDLE_S = 3600.0
"""Where trajectories rest while the trainer trains (colocate_async): the longest that a server takes."""


class Workspace:
    """Made by the agent loop, closed by it however the trajectory ends; tools find it at `agent_data.workspace`."""

    def __init__(self, *, visible_tests: str = "", idle_s: float = _IDLE_S) -> None:
        self.visible_tests = visible_tests
        """The assert statements that the prompt shows; empty where it shows none."""
        self.failed_runs = 0
        """Runs of programs and tests that did not succeed."""
        self.debugged = ""
        """The program that the debugger's session holds."""
        self._idle_s = idle_s
        self._sessions: dict[str, SandboxSession] = {}

    def session(self, kind: str) -> SandboxSession | None:
        """The session of this kind; None before its first use, and after its end."""
        return self._sessions.get(kind)

    async def open(
        self, kind: str, client: SandboxClient, *, memory_mb: int, code: str = ""
    ) -> SandboxSession:
        """Begin the session of this kind; SandboxUnavailableError when no sandbox opens one."""
        options: dict[str, Any] = {"kind": kind, "memory_limit_MB": memory_mb, "idle_timeout": self._idle_s}
        if code or kind == "debugger":
            options["code"] = code
        self._sessions[kind] = session = await client.open_session(**options)
        return session

    async def lose(self, kind: str) -> None:
        """End the session of this kind: the next use begins another."""
        session = self._sessions.pop(kind, None)
        if session is not None:
            await session.close()

    async def close(self) -> None:
        """End every session."""
        for kind in list(self._sessions):
            await self.lose(kind)


def workspace_of(agent_data: Any, tool: str) -> Workspace:
    """The workspace of a trajectory; ConfigError where its agent loop has none."""
    workspace = getattr(agent_data, "workspace", None)
    if workspace is None:
        raise ConfigError(
            f"{tool} keeps its state from call to call, which verl's tool_agent cannot: prepare the rows with "
            "--protocol session or debugger"
        )
    assert isinstance(workspace, Workspace)
    return workspace

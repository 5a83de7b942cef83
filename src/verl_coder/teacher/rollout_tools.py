"""The tools of a rollout outside of one: a conversation makes its calls in a workspace and leaves nothing."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from verl_coder.errors import ConfigError, SandboxUnavailableError
from verl_coder.importing import load_class
from verl_coder.problems import Problem
from verl_coder.prompts import visible_tests_of
from verl_coder.sandbox import close_shared
from verl_coder.tools.execution import listed_tools
from verl_coder.tools.workspace import Workspace

_MOST_WORKSPACES = 32
"""At a time in each sandbox, which takes 64 sessions unless it is told otherwise."""


class ToolWorkspace:
    """Where one conversation makes its calls."""

    def __init__(self, tools: Mapping[str, Any], problem: Problem) -> None:
        self.state = Workspace(visible_tests=visible_tests_of(problem.prompt))
        self._tools = tools
        self._agent = SimpleNamespace(
            extra_fields={}, tools_kwargs={"prelude": problem.tool_prelude}, workspace=self.state
        )

    async def call(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
        """(what the model reads, whether the call succeeded); SandboxUnavailableError where no sandbox answers."""
        counts = self._agent.extra_fields
        before = counts.get("tool_successes", 0)
        response, _, _ = await self._tools[name].execute("", dict(arguments), agent_data=self._agent)
        if counts.get("tool_sandbox_unavailable"):
            raise SandboxUnavailableError(counts["tool_sandbox_fault"])
        return response.text or "", counts.get("tool_successes", 0) > before


class RolloutTools:
    """The tools of a YAML, as a rollout makes them, bound to sandboxes."""

    def __init__(self, path: Path, sandbox_urls: Sequence[str], *, places: int) -> None:
        """`places`: workspaces at a time. ConfigError names the YAML where its tools cannot be made."""
        from verl.tools.schemas import OpenAIFunctionToolSchema

        self._urls = tuple(sandbox_urls)
        self._room = asyncio.Semaphore(min(places, _MOST_WORKSPACES * len(self._urls)))
        self._tools: dict[str, Any] = {}
        for name, entry in listed_tools(path):
            config = {**entry["config"], "sandbox_url": ",".join(self._urls)}
            try:
                made = load_class(str(entry["class_name"]))
                schema = OpenAIFunctionToolSchema.model_validate(entry["tool_schema"])
                with contextlib.redirect_stdout(io.StringIO()):  # verl prints every schema
                    self._tools[name] = made(config=config, tool_schema=schema)
            except (ValueError, TypeError, ConfigError) as error:
                why = " ".join(str(error).split())
                raise ConfigError(
                    f"{path}: the tool {name} cannot be made ({why}); see tool_config/"
                ) from error

    async def close(self) -> None:
        """Close the connections of the tools."""
        await close_shared(self._urls)

    @asynccontextmanager
    async def workspace(self, problem: Problem) -> AsyncIterator[ToolWorkspace]:
        """A workspace, as soon as there is room, whose sessions end with the block."""
        async with self._room:
            workspace = ToolWorkspace(self._tools, problem)
            try:
                yield workspace
            finally:
                await workspace.state.close()

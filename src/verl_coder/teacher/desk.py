"""The tools of a rollout outside of one: a conversation sits down, calls them, and leaves nothing behind."""

import contextlib
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from verl_coder.errors import SandboxUnavailableError
from verl_coder.importing import load_class
from verl_coder.problems import Problem
from verl_coder.prompts import visible_tests_of
from verl_coder.sandbox import shared_client
from verl_coder.tools.execution import listed_tools
from verl_coder.tools.workspace import Workspace


class Seat:
    """One conversation: its workspace, and the calls that it makes."""

    def __init__(self, tools: Mapping[str, Any], problem: Problem) -> None:
        self.workspace = Workspace(visible_tests=visible_tests_of(problem.prompt))
        self._tools = tools
        self._agent = SimpleNamespace(
            extra_fields={}, tools_kwargs={"prelude": problem.tool_prelude}, workspace=self.workspace
        )

    async def call(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
        """(what the model reads, whether the call succeeded); SandboxUnavailableError where no sandbox answers."""
        counts = self._agent.extra_fields
        before = counts.get("tool_successes", 0)
        response, _, _ = await self._tools[name].execute("", dict(arguments), agent_data=self._agent)
        if counts.get("tool_sandbox_unavailable"):
            raise SandboxUnavailableError(counts["tool_sandbox_fault"])
        return response.text or "", counts.get("tool_successes", 0) > before


class Desk:
    """The tools of a YAML, as a rollout makes them, bound to sandboxes."""

    def __init__(self, path: Path, sandbox_urls: Sequence[str]) -> None:
        """ConfigError where a class of the YAML cannot be loaded."""
        from verl.tools.schemas import OpenAIFunctionToolSchema

        self._urls = tuple(sandbox_urls)
        self._tools: dict[str, Any] = {}
        for name, entry in listed_tools(path):
            made = load_class(str(entry["class_name"]))
            schema = OpenAIFunctionToolSchema.model_validate(entry["tool_schema"])
            config = {**entry["config"], "sandbox_url": ",".join(self._urls)}
            with contextlib.redirect_stdout(io.StringIO()):  # verl prints every schema
                self._tools[name] = made(config=config, tool_schema=schema)

    async def close(self) -> None:
        """Close the connections of the tools."""
        async with shared_client(self._urls):
            pass

    @asynccontextmanager
    async def seat(self, problem: Problem) -> AsyncIterator[Seat]:
        """A workspace of its own, whose sessions end with it."""
        seat = Seat(self._tools, problem)
        try:
            yield seat
        finally:
            await seat.workspace.close()

"""What every tool of ours does around its own work: arguments, counts, a sandbox that is away."""

import asyncio
import os
import random
import time
from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse

from verl_coder.errors import SandboxFullError, SandboxUnavailableError
from verl_coder.sandbox import SandboxClient, shared_client
from verl_coder.sections import read_section
from verl_coder.tools.call_clock import clock_of
from verl_coder.tools.execution import InterpreterSettings
from verl_coder.tools.shared_limit import SharedLimit

SESSION_WAIT_S = 120.0
"""That a call waits for the end of another trajectory's session; its own time does not pass meanwhile."""


class ToolAnswer(NamedTuple):
    """What the model reads of one call, and whether what it ran did not fail."""

    text: str
    succeeded: bool


class SandboxTool(BaseTool):
    """A tool whose calls run in the sandbox; `use` is the work of one of them.

    It counts in `agent_data.extra_fields`, which verl hands to the reward function as `extra_info`: `tool_calls`,
    `tool_successes`, and `tool_sandbox_unavailable`, which masks the trajectory (trainer/sample_masks.py), with the
    reason in `tool_sandbox_fault`.
    """

    settings_class: ClassVar[type[InterpreterSettings]] = InterpreterSettings
    """What `config` of the tool's YAML holds."""

    needs_workspace: ClassVar[bool] = False
    """Whether its agent loop must have a workspace (agent_loops/code_agent.py)."""

    needed_arguments: ClassVar[tuple[str, ...]] = ()
    """Those without which `use` does nothing, by the names that it knows; where there are none a YAML may name any."""
    further_arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema) -> None:
        self.settings = read_section(self.settings_class, config, "config")
        super().__init__(config, tool_schema)
        self.sandbox_url = self.settings.sandbox_url or os.environ.get("SANDBOX_URL", "")
        # The workers of a run have the same sandbox, and another run on this machine has another.
        self._limit = SharedLimit(
            f"{self.sandbox_url} {self.name}",
            places=self.settings.num_workers,
            per_s=self.settings.calls_per_s,
        )

    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **kwargs: Any
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """One call."""
        agent_data = kwargs["agent_data"]
        counts = agent_data.extra_fields
        counts["tool_calls"] = counts.get("tool_calls", 0) + 1
        try:
            used = await self._use_when_there_is_room(
                parameters if isinstance(parameters, dict) else {}, agent_data
            )
        except SandboxUnavailableError as error:
            counts["tool_sandbox_unavailable"] = 1
            counts["tool_sandbox_fault"] = str(error)
            used = ToolAnswer("the sandbox is not available", succeeded=False)
        if used.succeeded:
            counts["tool_successes"] = counts.get("tool_successes", 0) + 1
        return ToolResponse(text=used.text), 0.0, {}

    async def _use_when_there_is_room(self, parameters: dict[str, Any], agent_data: Any) -> ToolAnswer:
        """A call that finds no room for its session waits for another's end, and holds no place meanwhile."""
        patience = time.monotonic() + SESSION_WAIT_S
        is_new, clock = True, clock_of(agent_data)
        while True:
            try:
                if clock:
                    clock.rest()
                async with self._limit.place(is_new=is_new):
                    if clock:
                        clock.go()
                    return await self.use(parameters, agent_data)
            except SandboxFullError:
                if time.monotonic() > patience:
                    raise
            is_new = False
            await asyncio.sleep(random.uniform(0.1, 0.5))

    @abstractmethod
    async def use(self, parameters: dict[str, Any], agent_data: Any) -> ToolAnswer:
        """Do the work of a call; SandboxUnavailableError when no sandbox answers."""

    @property
    def client(self) -> SandboxClient:
        """The sandbox of this tool's YAML, else the run's."""
        return shared_client(self.sandbox_url)


def prelude_of(agent_data: Any) -> str:
    """Code that the row gives to every program."""
    return (agent_data.tools_kwargs or {}).get("prelude") or ""


def note_failure(agent_data: Any) -> None:
    """Count a failed run, where the trajectory has a workspace that counts them."""
    workspace = getattr(agent_data, "workspace", None)
    if workspace is not None:
        workspace.failed_runs += 1

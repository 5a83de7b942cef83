"""`CodeAgentLoop`: verl's tool loop for tools that keep their state, with calls read and answered as models write them.

What it adds: a workspace for the trajectory, whose sessions end however the trajectory ends; calls of a turn in order;
a limit of calls, and of time, which is a reason to end, too (`extra_fields["end_reason"]`: hung_call, deadline).
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, ToolListWrap
from verl.experimental.agent_loop.tool_agent_loop import AgentData, AgentState
from verl.experimental.agent_loop.tool_parser import FunctionCall
from verl.tools.schemas import ToolResponse

from verl_coder.agent_loops.tool_agent import GuardedToolAgentLoop, break_control_tokens
from verl_coder.errors import ConfigError
from verl_coder.prompts import visible_tests_of
from verl_coder.protocols import agent_tags
from verl_coder.tools.call_clock import CallClock
from verl_coder.tools.workspace import RESTING_IDLE_S, Workspace

_CLOSE_S = 10.0


class CodeAgentLoop(GuardedToolAgentLoop):
    """One trajectory. A call in the last allowed turn is not run, as no turn is left to read its result."""

    has_workspace = True
    _may_rest = False

    def __init__(
        self,
        *args: Any,
        name: str,
        needs: Sequence[str] = (),
        max_calls: int = 0,
        call_deadline_s: float = 150.0,
        trajectory_deadline_s: float = 1800.0,
        tell_calls_left: bool = False,
        tools: ToolListWrap | None = None,
        **kwargs: Any,
    ) -> None:
        """The settings stand in the loop's line of `config/agent_loops.yaml`: `needs` names tools that TOOLS must have.

        `max_calls` 0: as many as the turns allow. What is over a deadline masks the trajectory.
        """
        super().__init__(*args, tools=tools, **kwargs)
        tags = agent_tags(name)
        if tags is None:
            raise ConfigError(f"the protocol of {name} has no tags for tool calls")
        missing = [tool for tool in needs if tool not in self.tools]
        if missing:
            raise ConfigError(f"{name} needs a tool named {missing[0]} (TOOLS=)")
        self.max_calls = max_calls
        self.call_deadline_s = call_deadline_s
        self.trajectory_deadline_s = trajectory_deadline_s
        self.tell_calls_left = tell_calls_left
        self._read_calls(tags)
        mode = OmegaConf.select(self.config, "trainer.v1.trainer_mode", default="sync")
        self._may_rest = mode == "colocate_async"
        """There a turn that is generated rests while the trainer trains, and nothing here tells for how long."""
        self._workspace = Workspace()
        self._in_order = asyncio.Lock()
        self._calls = 0
        self._began = time.monotonic()
        self._rested_s = 0.0
        """Of turns that may have rested: none of them counts for the trajectory's deadline."""

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """One trajectory for the row in `kwargs`."""
        idle_s = {"idle_s": RESTING_IDLE_S} if self._may_rest else {}
        self._workspace = Workspace(visible_tests=visible_tests_of(kwargs["raw_prompt"]), **idle_s)
        self._began, self._rested_s = time.monotonic(), 0.0
        try:
            return await super().run(sampling_params, priority, **kwargs)
        finally:
            # Also where the trajectory is aborted; what cannot be closed now ends by its idle time.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await asyncio.shield(asyncio.wait_for(self._workspace.close(), _CLOSE_S))

    async def _handle_generating_state(
        self, agent_data: AgentData, sampling_params: dict[str, Any], ignore_termination: bool = False
    ) -> AgentState:
        agent_data.workspace = self._workspace  # type: ignore[attr-defined]
        began = time.monotonic()
        state = await super()._handle_generating_state(agent_data, sampling_params, ignore_termination)
        if self._may_rest:
            self._rested_s += time.monotonic() - began
        return state

    async def _handle_processing_tools_state(self, agent_data: AgentData) -> AgentState:
        if self._is_late(agent_data):
            return AgentState.TERMINATED
        return await super()._handle_processing_tools_state(agent_data)

    async def _call_tool(
        self, tool_call: FunctionCall, tools_kwargs: dict[str, Any], agent_data: AgentData
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        # verl starts all calls of a turn at once; with one workspace their order matters.
        async with self._in_order:
            response = await self._answer(tool_call, tools_kwargs, agent_data)
        text = break_control_tokens(response.text or "", self._control)
        if self.tell_calls_left and self.max_calls:
            text += f"\n({max(self.max_calls - self._calls, 0)} calls left)"
        response.text = text
        return response, 0.0, {}

    async def _answer(
        self, tool_call: FunctionCall, tools_kwargs: dict[str, Any], agent_data: AgentData
    ) -> ToolResponse:
        if mistake := self._mistake_of(tool_call):
            return ToolResponse(text=mistake)
        if self.max_calls and self._calls >= self.max_calls:
            return ToolResponse(text=f"Error: all {self.max_calls} calls are used; give your answer")
        if self._end_reason:
            return ToolResponse(text="Error: not run, since the call before it did not end")
        self._calls += 1
        try:
            async with asyncio.timeout(self.call_deadline_s) as timeout:
                agent_data.call_clock = CallClock(timeout, self.call_deadline_s)  # type: ignore[attr-defined]
                response, _, _ = await self._run_tool(tool_call, tools_kwargs, agent_data)
        except TimeoutError:
            self._mask(agent_data, "hung_call")
            return ToolResponse(text="Error: the tool did not answer")
        return response

    def _is_late(self, agent_data: AgentData) -> bool:
        """Whether the trajectory is over its deadline, which masks it."""
        late = time.monotonic() - self._began - self._rested_s > self.trajectory_deadline_s
        if late:
            self._mask(agent_data, "deadline")
        return late

    def _mask(self, agent_data: AgentData, reason: str) -> None:
        """End the trajectory without a verdict: it is the machine's failure (trainer/sample_masks.py)."""
        self._end_reason = reason
        agent_data.extra_fields["tool_sandbox_unavailable"] = 1

"""Why a trajectory of verl's tool loop ended: `extra_fields["end_reason"]`, which verl does not say.

`answer` (a turn without a call), `turns` (a call in the last turn), `length`
(cut off at the response length, or what a tool returned did not fit). Loops may add reasons of their own.
"""

from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.tool_agent_loop import AgentData, AgentState, ToolAgentLoop


class EndReasonToolLoop(ToolAgentLoop):
    """verl's loop for one trajectory, which says why it ended."""

    _end_reason = ""

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """One trajectory for the row in `kwargs`."""
        output = await super().run(sampling_params, priority, **kwargs)
        output.extra_fields["end_reason"] = self._end_reason
        return output

    async def _handle_generating_state(
        self, agent_data: AgentData, sampling_params: dict[str, Any], ignore_termination: bool = False
    ) -> AgentState:
        state = await super()._handle_generating_state(agent_data, sampling_params, ignore_termination)
        if state == AgentState.TERMINATED:
            if len(agent_data.response_mask) >= self.response_length:
                self._end_reason = "length"
            elif _are_used(agent_data.assistant_turns, self.max_assistant_turns) or _are_used(
                agent_data.user_turns, self.max_user_turns
            ):
                self._end_reason = "turns" if await self._calls_in(agent_data) else "answer"
            else:
                self._end_reason = "answer"
        return state

    async def _calls_in(self, agent_data: AgentData) -> bool:
        """Whether the turn calls a tool; verl does not look at that of the last turn."""
        tools = [tool.tool_schema for tool in self.tools.values()]
        _, calls = await self.tool_parser.extract_tool_calls(agent_data.response_ids, tools)
        return bool(calls)

    async def _handle_processing_tools_state(self, agent_data: AgentData) -> AgentState:
        state = await super()._handle_processing_tools_state(agent_data)
        if state == AgentState.TERMINATED and not self._end_reason:
            self._end_reason = "length"
        return state


def _are_used(turns: int, most: int | None) -> bool:
    return bool(most) and turns >= (most or 0)

"""`tool_agent`: verl's tool loop, with calls read as models write them, and tools that return no control tokens.

verl's parser takes strict JSON alone: a call with `\\'` in its code is dropped, and the trajectory ends without a word.
Here it is read where its meaning is certain, and else answered with what is wrong; after three turns of such calls the
trajectory ends (`end_reason` invalid_calls), since a model that repeats one would do so until its turns are used.

verl renders a tool's answer with the chat template and tokenises the whole text, so that an output such as
`<|im_end|>`, printed by a program, would end the turn. Here such a word is broken by a space after its first
character before it is rendered: the model reads `< |im_end|>`.
"""

from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.tool_agent_loop import AgentData, AgentState, FunctionCall
from verl.tools.schemas import ToolResponse

from verl_coder.agent_loops.call_parser import CallParser
from verl_coder.agent_loops.end_reason import EndReasonToolLoop
from verl_coder.agent_loops.tool_calls import MAX_INVALID_CALLS
from verl_coder.control_tokens import break_control_tokens, control_tokens
from verl_coder.protocols import Tags, agent_tags


@register("tool_agent")
class GuardedToolAgentLoop(EndReasonToolLoop):
    """verl's `tool_agent`; a row's `tools_kwargs` may be null, and so may that of a tool."""

    def __init__(self, *args: Any, max_invalid_calls: int = MAX_INVALID_CALLS, **kwargs: Any) -> None:
        """`max_invalid_calls` turns in a row without a call that can be done end the trajectory."""
        super().__init__(*args, **kwargs)
        self.max_invalid_calls = max_invalid_calls
        self._invalid_calls = self._invalid_in_a_row = 0
        self._turn_is_invalid: bool | None = None
        """Whether no call of the turn could be done; None where it had none yet."""
        self._control = control_tokens(self.tokenizer)
        tags = agent_tags("tool_agent")
        if tags is not None and self.rollout_config.multi_turn.format == "hermes":
            self._read_calls(tags)

    def _read_calls(self, tags: Tags) -> None:
        """Read calls between these tags as models write them."""
        self.tool_parser = CallParser(self.tokenizer, tags, self.rollout_config.multi_turn.max_parallel_calls)
        # verl drops the calls above that number without a word; the parser answers them.
        self.max_parallel_calls = 1 << 30

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """One trajectory for the row in `kwargs`."""
        output = await super().run(sampling_params, priority, **kwargs)
        output.extra_fields["tool_invalid"] = self._invalid_calls
        return output

    async def _handle_processing_tools_state(self, agent_data: AgentData) -> AgentState:
        state = await super()._handle_processing_tools_state(agent_data)
        self._note_turn()
        return AgentState.TERMINATED if self._end_reason else state

    def _note_turn(self) -> None:
        """After the calls of a turn: end the trajectory where for several turns none could be done."""
        if self._turn_is_invalid is not None:
            self._invalid_in_a_row = self._invalid_in_a_row + 1 if self._turn_is_invalid else 0
        self._turn_is_invalid = None
        if self._end_reason in ("", "length") and self._invalid_in_a_row >= self.max_invalid_calls:
            self._end_reason = "invalid_calls"

    def _mistake_of(self, tool_call: FunctionCall) -> str:
        """What the model is told of a call that cannot be done, which counts; empty for one that can."""
        mistake = getattr(tool_call, "mistake", "")
        if mistake:
            self._invalid_calls += 1
            self._turn_is_invalid = self._turn_is_invalid is not False
            return f"Error: {mistake}"
        self._turn_is_invalid = False
        return ""

    async def _call_tool(
        self, tool_call: FunctionCall, tools_kwargs: dict[str, Any], agent_data: AgentData
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        if mistake := self._mistake_of(tool_call):
            return ToolResponse(text=break_control_tokens(mistake, self._control)), 0.0, {}
        return await self._run_tool(tool_call, tools_kwargs, agent_data)

    async def _run_tool(
        self, tool_call: FunctionCall, tools_kwargs: dict[str, Any], agent_data: AgentData
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """A call that can be done."""
        given = {name: {} if value is None else value for name, value in (tools_kwargs or {}).items()}
        response, reward, metrics = await super()._call_tool(tool_call, given, agent_data)
        text = response.text and break_control_tokens(response.text, self._control)
        return response.model_copy(update={"text": text}), reward, metrics

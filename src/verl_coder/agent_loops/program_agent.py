"""`program_agent`: the model runs programs that it writes between two tags, in the middle of its answer.

The tags are the protocol's (<program> and <output>, see protocols.py). Generation stops at the closing one; the
program goes to the `python_interpreter` tool (limits, counts and output as in its YAML), and what it printed is
appended between the tags of a result, masked out of the loss. The model then goes on in the same turn of the chat:
no role marker, no chat template between the two. The same with other words: PAL (https://arxiv.org/abs/2211.10435),
ToRA (https://arxiv.org/abs/2309.17452).
"""

import json
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, ToolListWrap
from verl.experimental.agent_loop.tool_agent_loop import AgentData, AgentState
from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser
from verl.utils.profiler import simple_timer

from verl_coder.agent_loops.end_reason import EndReasonToolLoop
from verl_coder.agent_loops.whole_stops import WholeStops
from verl_coder.control_tokens import break_control_tokens, control_tokens
from verl_coder.errors import ConfigError
from verl_coder.protocols import Tags, agent_tags, appended_result, find_program


class ProgramAgentLoop(EndReasonToolLoop):
    """verl's tool loop with tags in the place of function calls; ends as that one does.

    So a program in the last allowed turn (`multi_turn.max_assistant_turns`) is not run, and a trajectory ends
    where the program's output would not fit into the response.
    """

    required_tool = "python_interpreter"
    """The tool that runs the programs."""

    def __init__(self, *args: Any, name: str, tools: ToolListWrap | None = None, **kwargs: Any) -> None:
        """`name` is that of the line in `config/agent_loops.yaml`: a protocol names it, and has the tags."""
        super().__init__(*args, tools=tools, **kwargs)
        tags = agent_tags(name)
        if tags is None:
            raise ConfigError(f"the protocol of {name} has no tags to run programs between")
        if self.required_tool not in self.tools:
            raise ConfigError(f"{name} needs a tool named {self.required_tool} (TOOLS=)")
        self.tags = tags
        self.server_manager: Any = WholeStops(self.server_manager, self.tokenizer)
        self._control = control_tokens(self.tokenizer)
        self.tool_parser = ProgramTagParser(self.tokenizer, tags, self.required_tool)
        # The protocol is in the system prompt; a template that renders schemas would ask for function calls.
        self.tool_schemas = None  # type: ignore[assignment]

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """One trajectory for the row in `kwargs`."""
        stop = {"stop": [self.tags.end_call], "include_stop_str_in_output": True}
        return await super().run({**sampling_params, **stop}, priority, **kwargs)

    async def _handle_processing_tools_state(self, agent_data: AgentData) -> AgentState:
        with simple_timer("tool_calls", agent_data.metrics):
            response, _, _ = await self._call_tool(
                agent_data.tool_calls[0], agent_data.tools_kwargs, agent_data
            )
        tokenizer: Any = self.tokenizer  # verl names the factory as its type
        turn = tokenizer.decode(agent_data.response_ids)
        # Some control tokens, such as <tool_call>, are not called special: a tokenizer's own way to split special ones
        # leaves them whole.
        printed = break_control_tokens(response.text or "", self._control)
        output_ids = tokenizer.encode(appended_result(turn, printed, self.tags), add_special_tokens=False)
        if len(agent_data.response_mask) + len(output_ids) >= self.response_length:
            self._end_reason = "length"
            return AgentState.TERMINATED
        agent_data.prompt_ids = [*agent_data.prompt_ids, *output_ids]
        agent_data.response_mask = [*agent_data.response_mask, *(0 for _ in output_ids)]
        if agent_data.response_logprobs:
            agent_data.response_logprobs = [*agent_data.response_logprobs, *(0.0 for _ in output_ids)]
        agent_data.user_turns += 1
        return AgentState.GENERATING


class ProgramTagParser(ToolParser):
    """The program of a turn, as a call of the interpreter."""

    def __init__(self, tokenizer: Any, tags: Tags, tool: str) -> None:
        super().__init__(tokenizer)
        self.tags, self.tool = tags, tool

    async def extract_tool_calls(
        self, responses_ids: list[int], tools: Any = None
    ) -> tuple[str, list[FunctionCall]]:
        """(text of the turn, the call or nothing)."""
        text = self.tokenizer.decode(responses_ids)
        program = find_program(text, self.tags)
        if program is None:
            return text, []
        return text, [FunctionCall(name=self.tool, arguments=json.dumps({"code": program}))]

"""`single_turn_agent`: verl's loop of one answer, which may end at the end of its code (`verl_coder.stop_after_code`).

What a model writes behind the block that is graded changes no reward: its tokens cost time, and their part of the
gradient is noise. EvalPlus stops at the same words. A model that thinks in blocks of code would be stopped too early.
"""

from typing import Any

from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

from verl_coder.agent_loops.whole_stops import WholeStops

END_OF_CODE = "\n```\n"
"""A fence alone on its line closes a block; one that opens it names the language."""


@register("single_turn_agent")
class CodeAnswerLoop(SingleTurnAgentLoop):
    """One trajectory of one turn; says why it ended where the end of its code may be the reason."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.server_manager: Any = WholeStops(self.server_manager, self.tokenizer)

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """One trajectory for the row in `kwargs`."""
        if not OmegaConf.select(self.config, "verl_coder.stop_after_code", default=False):
            return await super().run(sampling_params, priority, **kwargs)
        stop = {"stop": [END_OF_CODE], "include_stop_str_in_output": True}
        output = await super().run({**sampling_params, **stop}, priority, **kwargs)
        # Its last token is none that ends a turn, which alone would look like an answer that was cut off.
        is_cut = len(output.response_ids) >= self.response_length
        output.extra_fields["end_reason"] = "length" if is_cut else "answer"
        return output

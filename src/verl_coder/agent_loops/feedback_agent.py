"""`feedback_agent`: an answer is run on the tests that the prompt shows; where one fails, the model answers again.

There is nothing to call, so a model that never calls a tool uses the sandbox from its first step on. Multi-turn
feedback on public tests as RLEF trains with it (https://arxiv.org/abs/2410.02089): hidden tests decide at the end.
What the tests said is a message of the user between the tags of the protocol, masked out of the loss.
"""

import ast
import json
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.tool_agent_loop import AgentData, AgentState
from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser
from verl.utils.profiler import simple_timer

from verl_coder.agent_loops.call_parser import ToolCall
from verl_coder.agent_loops.code_agent import CodeAgentLoop
from verl_coder.grading import answer_code
from verl_coder.problems import AssertTests
from verl_coder.prompts import visible_tests_of
from verl_coder.protocols import agent_tags, feedback_message
from verl_coder.syntax import parse_python
from verl_coder.tools.visible_tests import visible_tests

_RUN_TESTS = "run_tests"
"""The tool that runs the tests; the loop's line in `config/agent_loops.yaml` says that it is needed."""
_ROOM = 32
"""Tokens that must be left behind a message, or the answer would be cut off at its beginning."""


class FeedbackAgentLoop(CodeAgentLoop):
    """One trajectory: ends with an answer that passes the shown tests, or with the last allowed turn's.

    A problem that shows no test is answered in one turn. Where what the tests said finds no room, the answer stands.
    """

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        """`name` and the other settings stand in the loop's line of `config/agent_loops.yaml`."""
        super().__init__(*args, name=name, **kwargs)
        tags = agent_tags(name)
        assert tags is not None, "the loop above has looked"
        self.tags = tags
        # Nothing is called, so no tool is described.
        self.tool_schemas = None  # type: ignore[assignment]

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """One trajectory for the row in `kwargs`."""
        self.tool_parser = self._answers = AnswerParser(
            self.tokenizer, visible_tests_of(kwargs["raw_prompt"])
        )
        return await super().run(sampling_params, priority, **kwargs)

    async def _handle_generating_state(
        self, agent_data: AgentData, sampling_params: dict[str, Any], ignore_termination: bool = False
    ) -> AgentState:
        written = len(agent_data.response_mask)
        self._answers.before = agent_data.prompt_ids[-written:] if written else []
        return await super()._handle_generating_state(agent_data, sampling_params, ignore_termination)

    async def _handle_processing_tools_state(self, agent_data: AgentData) -> AgentState:
        if self._is_late(agent_data):
            return AgentState.TERMINATED
        passed = agent_data.extra_fields.get("tool_successes", 0)
        with simple_timer("tool_calls", agent_data.metrics):
            response, _, _ = await self._call_tool(
                agent_data.tool_calls[0], agent_data.tools_kwargs, agent_data
            )
        if agent_data.extra_fields.get("tool_successes", 0) > passed:
            self._end_reason = "answer"
        elif agent_data.extra_fields.get("tool_sandbox_unavailable"):
            self._end_reason = self._end_reason or "sandbox_unavailable"
        self._note_turn()
        if self._end_reason or not await self._tell(agent_data, response.text or ""):
            self._end_reason = self._end_reason or "answer"
            return AgentState.TERMINATED
        agent_data.user_turns += 1
        return AgentState.GENERATING

    async def _tell(self, agent_data: AgentData, said: str) -> bool:
        """Append what the tests said as the user's turn; False where it finds no room."""
        before = list(agent_data.messages)
        after = [*before, {"role": "user", "content": feedback_message(said, self.tags)}]
        merged, mask, logprobs = await self.ct_merge_context_msg(
            before,
            after,
            agent_data.prompt_ids,
            agent_data.response_mask,
            agent_data.response_logprobs or None,
        )
        if len(mask) + _ROOM >= self.response_length:
            return False
        agent_data.messages.append(after[-1])
        agent_data.prompt_ids, agent_data.response_mask = merged.token_ids, mask
        if agent_data.response_logprobs:
            agent_data.response_logprobs = logprobs or []
        return True

    def _build_assistant_message(self, content: str, agent_data: AgentData) -> dict[str, Any]:
        return {"role": "assistant", "content": content or ""}


class AnswerParser(ToolParser):
    """Every answer is a call of `run_tests`, with the code that would be graded; none where no test is shown."""

    def __init__(self, tokenizer: Any, tests: str) -> None:
        super().__init__(tokenizer)
        self.before: list[int] = []
        """The response before the turn: a reward reads the whole."""
        self.suite = None
        if visible_tests(tests):
            asserts = [node for node in parse_python(tests).body if isinstance(node, ast.Assert)]
            self.suite = AssertTests(tests=tuple(map(ast.unparse, asserts)))

    async def extract_tool_calls(
        self, responses_ids: list[int], tools: Any = None
    ) -> tuple[str, list[FunctionCall]]:
        """(text of the turn, the call)."""
        text = self.tokenizer.decode(responses_ids)
        if self.suite is None:
            return text, []
        whole = self.tokenizer.decode([*self.before, *responses_ids], skip_special_tokens=True)
        code = answer_code(whole, self.suite)
        if code is None:
            missing = "your answer has no ```python code block"
            return text, [ToolCall(name="", arguments="{}", mistake=missing)]
        return text, [FunctionCall(name=_RUN_TESTS, arguments=json.dumps({"code": code}))]

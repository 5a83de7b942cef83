"""The calls of a turn in hermes form, for the agent loops: read as models write them, mistakes kept to be answered."""

import json
from typing import Any

from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser

from verl_coder.agent_loops.tool_calls import CallMistake, call_texts, check_call, read_call, surplus
from verl_coder.protocols import Tags


class ToolCall(FunctionCall):
    """A call of a turn; `mistake` is what is wrong with it."""

    mistake: str = ""


class CallParser(ToolParser):
    """The calls of a turn in hermes form; one that cannot be done is kept, with what is wrong with it."""

    def __init__(self, tokenizer: Any, tags: Tags, max_parallel_calls: int) -> None:
        super().__init__(tokenizer)
        self.tags, self.max_parallel_calls = tags, max_parallel_calls

    async def extract_tool_calls(
        self, responses_ids: list[int], tools: Any = None
    ) -> tuple[str, list[FunctionCall]]:
        """(text of the turn, its calls)."""
        text = self.tokenizer.decode(responses_ids)
        return text, self.calls_in(text, tools)

    def calls_in(self, text: str, tools: Any = None) -> list[FunctionCall]:
        """The calls of a turn's text; those above the number that a turn may have are answered in one."""
        schemas = {
            tool.function.name: tool.function.parameters.model_dump(exclude_none=True) for tool in tools or []
        }
        texts = call_texts(text, self.tags)
        calls: list[FunctionCall] = [_checked(each, schemas) for each in texts[: self.max_parallel_calls]]
        if len(texts) > len(calls) > 0:
            extra = surplus(self.max_parallel_calls, len(texts))
            calls.append(ToolCall(name="", arguments="{}", mistake=extra))
        return calls


def _checked(text: str, schemas: dict[str, Any]) -> ToolCall:
    try:
        name, arguments = read_call(text)
        check_call(name, arguments, schemas)
    except CallMistake as mistake:
        return ToolCall(name="", arguments="{}", mistake=str(mistake))
    return ToolCall(name=name, arguments=json.dumps(arguments, ensure_ascii=False))

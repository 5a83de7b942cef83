"""The `python_interpreter` tool: runs a program in the sandbox and shows what it printed."""

import os
from typing import Any

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import shared_client
from verl_coder.sections import read_section
from verl_coder.tools.execution import InterpreterSettings, run_program


class PythonInterpreter(BaseTool):
    """Stateless interpreter: every call is a fresh program, run after the row's `tools_kwargs.prelude`.

    It counts in `agent_data.extra_fields`, which verl hands to the reward function as `extra_info`:
    `tool_calls`, `tool_successes` (exit code 0) and `tool_sandbox_unavailable`.
    """

    def __init__(self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema) -> None:
        self.settings = read_section(InterpreterSettings, config, "config")
        super().__init__(config, tool_schema)
        self.sandbox_url = self.settings.sandbox_url or os.environ.get("SANDBOX_URL", "")

    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **kwargs: Any
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """Run `parameters["code"]`; a sandbox that does not answer marks the trajectory (trainer/sample_masks.py)."""
        agent_data = kwargs["agent_data"]
        counts = agent_data.extra_fields
        counts["tool_calls"] = counts.get("tool_calls", 0) + 1
        code = parameters.get("code") if isinstance(parameters, dict) else None
        if not isinstance(code, str):
            return ToolResponse(text='TypeError: the argument "code" must be a string'), 0.0, {}
        try:
            run = await run_program(
                code,
                prelude=(agent_data.tools_kwargs or {}).get("prelude") or "",
                settings=self.settings,
                sandbox=shared_client(self.sandbox_url),
            )
        except SandboxUnavailableError:
            counts["tool_sandbox_unavailable"] = 1
            return ToolResponse(text="the interpreter is not available"), 0.0, {}
        if run.succeeded:
            counts["tool_successes"] = counts.get("tool_successes", 0) + 1
        return ToolResponse(text=run.text), 0.0, {}

"""The `python_interpreter` tool: runs a program in the sandbox and shows what it printed."""

import os
from typing import Any, Literal

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import RunRequest, shared_client
from verl_coder.sections import Positive, PositiveCount, Section, read_section
from verl_coder.tools.output import format_output


class InterpreterSettings(Section):
    """`config` of the tool's YAML."""

    type: Literal["native"] = "native"
    """verl's kind of tool."""
    sandbox_url: str | None = None
    """null takes the sandbox that the run started (or SANDBOX_URL)."""
    timeout_s: Positive = 10.0
    memory_mb: PositiveCount = 1024
    traceback_lines: PositiveCount = 10
    """Of a program that fails, the last lines of its stderr that the model reads."""
    max_output_chars: PositiveCount = 4096
    """Longer output keeps its head and its tail."""


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
        prelude = (agent_data.tools_kwargs or {}).get("prelude") or ""
        if prelude:
            # One line, so that the line numbers of the model's own code shift by one only.
            code = f"exec(compile({prelude!r}, '<given>', 'exec'))\n{code}"
        request = RunRequest(
            code=code, run_timeout=self.settings.timeout_s, memory_limit_MB=self.settings.memory_mb
        )
        try:
            response = await shared_client(self.sandbox_url).run_code(request)
        except SandboxUnavailableError:
            counts["tool_sandbox_unavailable"] = 1
            return ToolResponse(text="the interpreter is not available"), 0.0, {}
        result = response.run_result
        assert result is not None
        if result.status == "Finished" and result.return_code == 0:
            counts["tool_successes"] = counts.get("tool_successes", 0) + 1
        text = format_output(
            result,
            timeout_s=self.settings.timeout_s,
            traceback_lines=self.settings.traceback_lines,
            max_chars=self.settings.max_output_chars,
        )
        return ToolResponse(text=text), 0.0, {}

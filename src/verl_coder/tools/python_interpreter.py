"""The `python_interpreter` tool: runs a program in the sandbox and shows what it printed."""

from typing import Any

from verl_coder.tools.execution import run_program
from verl_coder.tools.sandbox_tool import SandboxTool, ToolAnswer, note_failure, prelude_of


class PythonInterpreter(SandboxTool):
    """Stateless interpreter: every call is a fresh program, run after the row's `tools_kwargs.prelude`."""

    needed_arguments = ("code",)

    async def use(self, parameters: dict[str, Any], agent_data: Any) -> ToolAnswer:
        """Run `parameters["code"]`."""
        code = parameters.get("code")
        if not isinstance(code, str):
            return ToolAnswer('TypeError: the argument "code" must be a string', succeeded=False)
        run = await run_program(
            code, prelude=prelude_of(agent_data), settings=self.settings, sandbox=self.client
        )
        if not run.succeeded:
            note_failure(agent_data)
        return ToolAnswer(run.text, run.succeeded)

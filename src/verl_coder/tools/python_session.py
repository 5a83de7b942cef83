"""The `python_session` tool: an interpreter whose variables, generators and open files live on from call to call."""

from typing import Any

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import SandboxSession
from verl_coder.tools.execution import SessionSettings
from verl_coder.tools.given_code import given_program
from verl_coder.tools.output import how_session_ended, last_lines, shown_text
from verl_coder.tools.sandbox_tool import SandboxTool, ToolAnswer, note_failure, prelude_of
from verl_coder.tools.workspace import Workspace, workspace_of

_KIND = "python"


class PythonSession(SandboxTool):
    """One live process for a trajectory: nothing is run twice. Its first code is the row's `tools_kwargs.prelude`."""

    needs_workspace = True
    needed_arguments = ("code",)
    settings_class = SessionSettings

    async def use(self, parameters: dict[str, Any], agent_data: Any) -> ToolAnswer:
        """Run `parameters["code"]` where the last call ended."""
        code = parameters.get("code")
        if not isinstance(code, str):
            return ToolAnswer('TypeError: the argument "code" must be a string', succeeded=False)
        code = given_program(code)
        workspace = workspace_of(agent_data, self.name)
        session = workspace.session(_KIND)
        prelude = "" if session else prelude_of(agent_data)
        if session is None:
            session = await workspace.open(_KIND, self.client, memory_mb=self.settings.memory_mb)
        # A prelude that fails is told like any other code; the next call begins again with it.
        for part in [prelude, code] if prelude else [code]:
            answer = await self._run(session, part, workspace)
            if answer["status"] != "Success":
                note_failure(agent_data)
                if (prelude and part is prelude) or not answer["alive"]:
                    await workspace.lose(_KIND)
                return ToolAnswer(self._text(answer), succeeded=False)
        return ToolAnswer(self._text(answer), succeeded=True)

    async def _run(self, session: SandboxSession, code: str, workspace: Workspace) -> dict[str, Any]:
        try:
            return await session.run(code, run_timeout=self.settings.timeout_s)
        except SandboxUnavailableError:
            await workspace.lose(_KIND)
            raise

    def _text(self, answer: dict[str, Any]) -> str:
        """What was printed and displayed, the value of a last expression, the error; the session's end."""
        result, error = answer["run_result"], answer.get("error")
        values = [shown["text/plain"] for shown in answer.get("display") or [] if "text/plain" in shown]
        # The value of a last expression is among them, at the end.
        parts = [result["stdout"].rstrip("\n"), *values]
        parts.append(last_lines(result["stderr"], self.settings.traceback_lines))
        if result["status"] == "TimeLimitExceeded":
            parts.append(
                f"TimeoutError: the code ran longer than {self.settings.timeout_s:g} s and was stopped"
            )
        elif error:
            trace = "".join(error.get("traceback") or [f"{error['ename']}: {error['evalue']}"])
            parts.append(last_lines(trace, self.settings.traceback_lines))
        if not answer["alive"]:
            ended = f"The session has ended{how_session_ended(answer)} and its variables are lost"
            parts.append(f"{ended}; the next call begins a new one.")
        return shown_text(parts, self.settings.max_output_chars) or "(no output)"

"""The `python_debugger` tool: a program under a debugger that lives from call to call."""

from typing import Any

from verl_coder.errors import SandboxUnavailableError
from verl_coder.protocols import quote_closing_tags
from verl_coder.sandbox import SandboxSession
from verl_coder.tools.debugger_commands import CommandMistake, read_command, show
from verl_coder.tools.execution import DebuggerSettings, after_prelude
from verl_coder.tools.output import cut_middle
from verl_coder.tools.sandbox_tool import SandboxTool, ToolAnswer, prelude_of
from verl_coder.tools.workspace import Workspace, workspace_of

_KIND = "debugger"
_MAX_COMMANDS = 20


class PythonDebugger(SandboxTool):
    """Commands of gdb and pdb; a new `code` keeps the breakpoints, which move with their lines."""

    needs_workspace = True
    settings_class = DebuggerSettings
    settings: DebuggerSettings

    async def use(self, parameters: dict[str, Any], agent_data: Any) -> ToolAnswer:
        """Take `parameters["code"]` where there is one, then do `parameters["commands"]`, one a line."""
        workspace = workspace_of(agent_data, self.name)
        missing = self.settings.available_after - workspace.failed_runs
        if missing > 0:
            return ToolAnswer(f"{self.name} can be used after {missing} more failed runs", succeeded=False)
        code, commands = parameters.get("code"), parameters.get("commands")
        if not isinstance(code, str | None) or not isinstance(commands, str):
            return ToolAnswer(
                'TypeError: the arguments "code" and "commands" must be strings', succeeded=False
            )
        prelude = prelude_of(agent_data)
        shift = prelude.count("\n") + 1 if prelude else 0
        try:
            session, told = await self._session(workspace, code, prelude, shift)
            if session is None:
                return ToolAnswer(told, succeeded=False)
            texts, succeeded = await self._commands(session, commands, shift)
        except SandboxUnavailableError:
            await workspace.lose(_KIND)
            raise
        if not succeeded:
            await workspace.lose(_KIND)
        text = "\n".join(part for part in (told, *texts) if part)
        return ToolAnswer(quote_closing_tags(cut_middle(text, self.settings.max_output_chars)), succeeded)

    async def _session(
        self, workspace: Workspace, code: str | None, prelude: str, shift: int
    ) -> tuple[SandboxSession | None, str]:
        """The debugger's session with the program in it, and what is to be told of it."""
        session = workspace.session(_KIND)
        if not code:
            return session, "" if session else "no program yet: give it in `code`"
        program = after_prelude(prelude, code) if prelude else code
        if self.settings.with_visible_tests and workspace.visible_tests:
            program += f"\n{workspace.visible_tests}\n"
        told = ""
        if session is not None:
            answer = await session.debug("load", code=program, run_timeout=self.settings.timeout_s)
            if answer["alive"]:
                lines = dict.fromkeys(answer.get("dropped_breakpoints") or [])
                dropped = [str(line - shift) for line in lines]
                return session, f"breakpoints dropped: line {', '.join(dropped)}" if dropped else ""
            # The program before it did that, after its last command or in its signal handlers.
            await workspace.lose(_KIND)
            told = "the debugged process had ended; this one is new and has no breakpoints"
        opened = await workspace.open(_KIND, self.client, memory_mb=self.settings.memory_mb, code=program)
        return opened, told

    async def _commands(self, session: SandboxSession, commands: str, shift: int) -> tuple[list[str], bool]:
        """What each command shows; False where the debugged program took its session with it.

        All commands together have the time of one call: a call that hangs is taken for the machine's failure.
        """
        texts: list[str] = []
        left_s = self.settings.timeout_s
        lines = [line.strip() for line in commands.splitlines() if line.strip()]
        if not lines:
            return ["no command: give some, one a line"], True
        for line in lines[:_MAX_COMMANDS]:
            if left_s <= 0:
                texts.append(f"the {self.settings.timeout_s:g} s of this call are over; not done: {line} ...")
                return texts, True
            if len(lines) > 1:
                texts.append(f"> {line}")
            try:
                name, arguments = read_command(line)
            except CommandMistake as mistake:
                texts.append(str(mistake))
                continue
            if arguments.get("line"):
                arguments["line"] += shift
            asked = "state" if name in ("where", "locals", "list") else name
            answer = await session.debug(asked, run_timeout=left_s, **arguments)
            left_s -= answer["run_result"]["execution_time"]
            if not answer["alive"]:
                texts += [answer["run_result"]["stdout"].rstrip("\n"), "the debugged process has ended"]
                return texts, False
            texts.append(show(name, answer, window=self.settings.window, shift=shift))
        if len(lines) > _MAX_COMMANDS:
            texts.append(f"only {_MAX_COMMANDS} commands a call are done")
        return texts, True

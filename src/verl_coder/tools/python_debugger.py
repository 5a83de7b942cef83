"""The `python_debugger` tool: a program under a debugger that lives from call to call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import SandboxSession
from verl_coder.tools.debugger_commands import CommandMistake, read_command
from verl_coder.tools.debugger_texts import listed, said_by_program, show
from verl_coder.tools.execution import DebuggerSettings, after_prelude
from verl_coder.tools.given_code import given_program
from verl_coder.tools.output import how_session_ended, shown_text
from verl_coder.tools.sandbox_tool import SandboxTool, ToolAnswer, prelude_of
from verl_coder.tools.workspace import Workspace, workspace_of

_KIND = "debugger"
_MAX_COMMANDS = 20
_SHOWING = ("where", "locals", "list", "breakpoints")
_MOST_SAID = 1 << 20
"""Characters that the program has written, after which `next 3` goes on no further."""
_STEPPED = ("line", "return", "yield", "raised", "leaving")
"""Events after which `next 3` and `step 3` go on."""


def _not_taken(answer: Mapping[str, Any]) -> str:
    """Why the debugger does not hold the program that it was given; empty where it does."""
    if not answer["alive"]:
        return f"had ended{how_session_ended(answer)}"
    error, is_new = answer.get("error"), answer.get("is_new")
    if answer["message"] or (is_new and (error or answer["state"]["event"] != "not_started")):
        return "could not take this program" + (f" ({error['ename']})" if error else "")
    return ""


@dataclass
class _Done:
    """What became of a call's commands."""

    texts: list[str] = field(default_factory=list)
    alive: bool = True
    """False: the debugged program has taken its session with it."""
    worked: bool = False
    """Whether at least one was a command that could be done. What became of the program is what it is used to see."""


class PythonDebugger(SandboxTool):
    """Commands of gdb and pdb; a new `code` keeps the breakpoints, which move with their lines."""

    needs_workspace = True
    needed_arguments = ("commands",)
    further_arguments = ("code",)
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
            done = await self._commands(session, commands, workspace.debugged, shift)
        except SandboxUnavailableError:
            await workspace.lose(_KIND)
            raise
        if not done.alive:
            await workspace.lose(_KIND)
        text = shown_text([told, *done.texts], self.settings.max_output_chars)
        return ToolAnswer(text, succeeded=done.alive and done.worked)

    async def _session(
        self, workspace: Workspace, code: str | None, prelude: str, shift: int
    ) -> tuple[SandboxSession | None, str]:
        """The debugger's session with the program in it, and what is to be told of it.

        The program that it holds already, sent again, goes on where it stands, if it stands anywhere: at an exception
        that nothing caught it does.
        """
        session = workspace.session(_KIND)
        if not code:
            return session, "" if session else "no program yet: give it in `code`"
        program = given_program(code)
        program = after_prelude(prelude, program) if prelude else program
        if self.settings.with_visible_tests and workspace.visible_tests:
            program += f"\n{workspace.visible_tests}\n"
        told = ""
        if session is not None:
            answer: dict[str, Any] = {"alive": True, "message": "", "state": {"event": "exited"}}
            if program == workspace.debugged:
                answer = await session.debug("state", run_timeout=self.settings.timeout_s)
            if answer["alive"] and answer["state"]["event"] == "exited":
                answer = await session.debug("load", code=program, run_timeout=self.settings.timeout_s)
                answer["is_new"] = True
            trouble = _not_taken(answer)
            if not trouble:
                workspace.debugged = program
                lines = dict.fromkeys(answer.get("dropped_breakpoints") or [])
                dropped = [str(line - shift) for line in lines]
                return session, f"breakpoints dropped: line {', '.join(dropped)}" if dropped else ""
            # The program before it did that, after its last command or in its signal handlers.
            await workspace.lose(_KIND)
            told = f"the debugged process {trouble}; this one is new and has no breakpoints"
        opened = await workspace.open(_KIND, self.client, memory_mb=self.settings.memory_mb, code=program)
        workspace.debugged = program
        return opened, told

    async def _commands(self, session: SandboxSession, commands: str, program: str, shift: int) -> "_Done":
        """Do each command and tell what it shows.

        All commands together have the time of one call: a call that hangs is taken for the machine's failure.
        """
        done = _Done()
        texts, left_s = done.texts, self.settings.timeout_s
        lines = [line.strip() for line in commands.splitlines() if line.strip()]
        if not lines:
            texts.append("no command: give some, one a line")
        for line in lines[:_MAX_COMMANDS]:
            if left_s <= 0:
                texts.append(f"the {self.settings.timeout_s:g} s of this call are over; not done: {line} ...")
                return done
            if len(lines) > 1:
                texts.append(f"> {line}")
            try:
                name, arguments = read_command(line)
            except CommandMistake as mistake:
                texts.append(str(mistake))
                continue
            shown_lines = arguments.pop("lines", None)
            answer, left_s = await self._do(session, name, arguments, left_s, shift)
            if not answer["alive"]:
                texts += said_by_program(answer["run_result"], self.settings.traceback_lines)
                texts.append(f"the debugged process has ended{how_session_ended(answer)}")
                texts.append("its breakpoints are lost; the next call begins a new one, with `code`")
                done.alive = False
                return done
            done.worked |= not answer["message"]  # which says why it was not done
            if name == "list" and (shown_lines or answer["state"]["file"] in (None, "main.py")):
                texts += said_by_program(answer["run_result"], self.settings.traceback_lines)
                texts.append(self._listed(answer["state"], program, shown_lines, shift))
                continue
            shown = {"window": self.settings.window, "shift": shift}
            texts.append(show(name, answer, **shown, stderr_lines=self.settings.traceback_lines))
        if len(lines) > _MAX_COMMANDS:
            texts.append(f"only {_MAX_COMMANDS} commands a call are done")
        return done

    async def _do(
        self, session: SandboxSession, name: str, arguments: dict[str, Any], left_s: float, shift: int
    ) -> tuple[dict[str, Any], float]:
        """(answer of a command that is done `times`, or until something else happens; the time that is left)."""
        times = arguments.pop("times", 1)
        if arguments.get("line"):
            arguments["line"] += shift
        asked = "state" if name in _SHOWING else name
        said: dict[str, str] = {"stdout": "", "stderr": ""}
        while True:
            answer = await session.debug(asked, run_timeout=left_s, **arguments)
            left_s -= answer["run_result"]["execution_time"]
            said = {stream: text + answer["run_result"][stream] for stream, text in said.items()}
            times -= 1
            goes_on = answer["alive"] and not answer["message"] and times > 0 and left_s > 0
            goes_on = goes_on and sum(map(len, said.values())) < _MOST_SAID
            if not goes_on or (name in ("next", "step") and answer["state"]["event"] not in _STEPPED):
                break
        return answer | {"run_result": answer["run_result"] | said}, left_s

    def _listed(self, state: dict[str, Any], program: str, lines: tuple[int, int] | None, shift: int) -> str:
        """Lines of the program: those asked for, those around its place, or its first."""
        current = (state.get("line") or 0) - shift
        if lines is None:
            first = max(current - self.settings.window, 1)
            lines = first, max(current, first) + self.settings.window
        return listed("\n".join(program.split("\n")[shift:]), lines, current)

"""Calls of tools with state, played: the rollout's own tools, one workspace a trace.

So a call reads what those before it have left, as in a rollout.
"""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from verl_coder.errors import SandboxUnavailableError
from verl_coder.prompts import visible_tests_of
from verl_coder.protocols import tool_call
from verl_coder.sandbox import SandboxClient, shared_client
from verl_coder.teacher.attempts import Attempt, gather, setup_of
from verl_coder.teacher.calls import ToolTurn, calls_of
from verl_coder.teacher.checks import ExampleCheck, visible_check, wrong_lines
from verl_coder.teacher.choice import Sketch
from verl_coder.teacher.debugging import commands_for, what_it_shows
from verl_coder.teacher.trace_tools import DEBUGGER, SESSION, TraceTools, made_tool
from verl_coder.tools.workspace import Workspace

_CHECK_NAMES = ("check_examples", "try_examples", "run_examples", "check_all_examples")


async def all_calls(
    sketches: Sequence[Sketch], tools: TraceTools, sandbox: SandboxClient, *, concurrency: int
) -> list[list[ToolTurn] | None]:
    """The calls of each; None where a session answers otherwise than the attempts did by themselves."""
    if not tools.plays:
        return [[] if sketch.direct else calls_of(sketch, tools) for sketch in sketches]
    at_a_time = asyncio.Semaphore(concurrency)
    player = _Player(tools, sandbox.urls)

    async def played(sketch: Sketch) -> list[ToolTurn] | None:
        if sketch.direct:
            return []
        async with at_a_time:
            return await player.play(sketch)

    async with shared_client(sandbox.urls):  # the tools take it
        return await gather([played(sketch) for sketch in sketches])


class _Player:
    """Plays sketches with the tools of a YAML."""

    def __init__(self, tools: TraceTools, sandbox_urls: Sequence[str]) -> None:
        """ConfigError where the YAML's class cannot be loaded."""
        self._tools = tools
        kind = SESSION if tools.kind == SESSION else DEBUGGER
        self._played = made_tool(tools.path, kind, ",".join(sandbox_urls))

    async def play(self, sketch: Sketch) -> list[ToolTurn] | None:
        """The calls of one; SandboxUnavailableError where the sandbox gives no answer."""
        problem = sketch.problem
        workspace = Workspace(visible_tests=visible_tests_of(problem.prompt))
        agent = SimpleNamespace(
            extra_fields={}, tools_kwargs={"prelude": problem.tool_prelude}, workspace=workspace
        )
        try:
            if self._tools.kind == SESSION:
                return await self._in_session(sketch, agent)
            return await self._debugged(sketch, agent)
        finally:
            await workspace.close()

    async def _in_session(self, sketch: Sketch, agent: Any) -> list[ToolTurn] | None:
        """The examples are a function of the session, which later calls use where they can tell that it is there."""
        check = visible_check(agent.workspace.visible_tests)
        assert check is not None
        name = next((one for one in _CHECK_NAMES if not _mentions(sketch.attempts, one)), _CHECK_NAMES[0])
        function = check.function(name)
        calls: list[ToolTurn] = []
        known = False
        for attempt in sketch.attempts:
            examples = (f"{name}()" if known else f"{function}\n\n{name}()") if function else check.code
            code = "\n\n".join(part for part in (attempt.code, setup_of(sketch.problem), examples) if part)
            told, succeeded = await self._call(agent, code=code)
            if not _agrees(told, succeeded, attempt, check):
                return None
            calls.append(ToolTurn(attempt=attempt, text=tool_call(self._tools.name, code), told=told))
            known = agent.workspace.session("python") is not None and (succeeded or f"in {name}\n" in told)
        return calls

    async def _debugged(self, sketch: Sketch, agent: Any) -> list[ToolTurn]:
        """Runs by the interpreter; the last attempt that fails is looked at with the debugger."""
        settings = self._tools.debugger
        assert settings is not None
        calls: list[ToolTurn] = []
        for number, call in enumerate(calls_of(sketch, self._tools)):
            calls.append(call)
            agent.workspace.failed_runs += not call.attempt.run.succeeded
            if number != len(sketch.attempts) - 2 or agent.workspace.failed_runs < settings.available_after:
                continue
            commands = commands_for(call.attempt, agent.workspace.visible_tests)
            if not commands:
                continue
            told, succeeded = await self._call(agent, code=call.attempt.code, commands=commands)
            seen = what_it_shows(told) if succeeded else ""
            if seen:
                text = tool_call(self._tools.debugger_name, call.attempt.code, commands=commands)
                calls.append(ToolTurn(attempt=call.attempt, text=text, told=told, seen=seen))
        return calls

    async def _call(self, agent: Any, **arguments: str) -> tuple[str, bool]:
        """(what the model reads, whether the call succeeded)."""
        counts = agent.extra_fields
        before = counts.get("tool_successes", 0)
        response, _, _ = await self._played.execute("", arguments, agent_data=agent)
        if counts.get("tool_sandbox_unavailable"):
            raise SandboxUnavailableError(counts["tool_sandbox_fault"])
        return response.text or "", counts.get("tool_successes", 0) > before


def _agrees(told: str, succeeded: bool, attempt: Attempt, check: ExampleCheck) -> bool:
    """Whether an attempt fails or passes here as it did in a program of its own."""
    right = succeeded and check.says_ok(told)
    if attempt.verdict == "passed":
        return right
    return not right and (not succeeded or bool(wrong_lines(told)))


def _mentions(attempts: Sequence[Attempt], name: str) -> bool:
    return any(name in attempt.code for attempt in attempts)

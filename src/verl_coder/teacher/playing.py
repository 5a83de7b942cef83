"""Calls of tools with state, played: the rollout's own tools, one workspace a trace.

So a call reads what those before it have left, as in a rollout.
"""

from collections.abc import Sequence

from verl_coder.protocols import tool_call
from verl_coder.sandbox import SandboxClient
from verl_coder.teacher.attempts import Attempt, gather, setup_of
from verl_coder.teacher.calls import ToolTurn, calls_of
from verl_coder.teacher.checks import ExampleCheck, error_name, visible_check, wrong_lines
from verl_coder.teacher.choice import Sketch
from verl_coder.teacher.debugging import commands_for, what_it_shows
from verl_coder.teacher.rollout_tools import RolloutTools, ToolWorkspace
from verl_coder.teacher.trace_tools import SESSION, TraceTools

_CHECK_NAMES = ("check_examples", "try_examples", "run_examples", "check_all_examples")


async def all_calls(
    sketches: Sequence[Sketch], tools: TraceTools, sandbox: SandboxClient, *, concurrency: int
) -> list[list[ToolTurn] | None]:
    """The calls of each; None where a session answers otherwise than the attempts did by themselves."""
    if not tools.plays:
        return [[] if sketch.direct else calls_of(sketch, tools) for sketch in sketches]
    play = _in_session if tools.kind == SESSION else _debugged

    async def played(sketch: Sketch) -> list[ToolTurn] | None:
        if sketch.direct:
            return []
        async with made.workspace(sketch.problem) as workspace:
            return await play(sketch, tools, workspace)

    made = RolloutTools(tools.path, sandbox.urls, places=concurrency)
    try:
        return await gather([played(sketch) for sketch in sketches])
    finally:
        await made.close()


async def _in_session(sketch: Sketch, tools: TraceTools, workspace: ToolWorkspace) -> list[ToolTurn] | None:
    """The examples are a function of the session, which later calls use where they can tell that it is there."""
    check = visible_check(workspace.state.visible_tests)
    assert check is not None
    name = next((one for one in _CHECK_NAMES if not _mentions(sketch.attempts, one)), "")
    function = check.function(name) if name else ""
    calls: list[ToolTurn] = []
    known = False
    for attempt in sketch.attempts:
        examples = (f"{name}()" if known else f"{function}\n\n{name}()") if function else check.code
        code = "\n\n".join(part for part in (attempt.code, setup_of(sketch.problem), examples) if part)
        told, succeeded = await workspace.call(tools.name, {"code": code})
        if not _agrees(told, succeeded, attempt, check):
            return None
        calls.append(ToolTurn(attempt=attempt, text=tool_call(tools.name, code), told=told))
        known = workspace.state.session("python") is not None and (succeeded or f"in {name}\n" in told)
    return calls


async def _debugged(sketch: Sketch, tools: TraceTools, workspace: ToolWorkspace) -> list[ToolTurn]:
    """Runs by the interpreter; the last attempt that fails is looked at with the debugger."""
    settings = tools.debugger
    assert settings is not None
    calls: list[ToolTurn] = []
    for number, call in enumerate(calls_of(sketch, tools)):
        calls.append(call)
        workspace.state.failed_runs += not call.attempt.run.succeeded
        if number != len(sketch.attempts) - 2 or workspace.state.failed_runs < settings.available_after:
            continue
        commands = commands_for(call.attempt, workspace.state.visible_tests)
        if not commands:
            continue
        told, succeeded = await workspace.call(
            tools.debugger_name, {"code": call.attempt.code, "commands": commands}
        )
        seen = what_it_shows(told) if succeeded else ""
        if seen:
            text = tool_call(tools.debugger_name, call.attempt.code, commands=commands)
            calls.append(ToolTurn(attempt=call.attempt, text=text, told=told, seen=seen))
    return calls


def _agrees(told: str, succeeded: bool, attempt: Attempt, check: ExampleCheck) -> bool:
    """Whether an attempt passes here, or fails in the same way, as it did in a program of its own."""
    if attempt.verdict == "passed":
        return succeeded and check.says_ok(told)
    alone = attempt.run.text
    same = error_name(told) == error_name(alone) and len(wrong_lines(told)) == len(wrong_lines(alone))
    return same and succeeded == attempt.run.succeeded


def _mentions(attempts: Sequence[Attempt], name: str) -> bool:
    return any(name in attempt.code for attempt in attempts)

"""What a teacher's call comes to: in a program of its own, or in a workspace where those before it are made again."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from verl_coder.sandbox import SandboxClient
from verl_coder.teacher.dialogues import Call
from verl_coder.teacher.offers import Offer, Offers
from verl_coder.teacher.replies import FailedReplyError, encodable
from verl_coder.teacher.rollout_tools import RolloutTools
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.tools.execution import run_program

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


@dataclass(frozen=True, kw_only=True)
class MadeCall:
    """A call of a conversation and what came of it."""

    call: Call
    text: str
    failed: bool


class ToolRuns:
    """Runs calls, and holds nothing between two of them: a teacher may think, and a stopped command goes on."""

    def __init__(
        self, offers: Offers, sandbox: SandboxClient, tasks: Iterable[TeacherTask], *, places: int
    ) -> None:
        """`places`: workspaces at a time. ConfigError where the tools of a protocol cannot be made."""
        self._offers, self._sandbox = offers, sandbox
        paths = {offer.path for one in tasks if (offer := offers.of(one.protocol)).keeps_state}
        self._tools = {path: RolloutTools(path, sandbox.urls, places=places) for path in sorted(paths)}

    async def run(self, call: Call, made: Sequence[MadeCall], task: TeacherTask) -> tuple[str, bool]:
        """(what the student reads of a call after those that were made, whether it failed).

        FailedReplyError where a call that is made again comes to something else than before, addresses in memory
        aside; SandboxUnavailableError where no sandbox answers.
        """
        if call.error:
            return call.error, True
        offer = self._offers.of(task.protocol)
        if offer.keeps_state:
            return await self._in_workspace(call, made, task, offer)
        run = await run_program(
            call.arguments["code"],
            prelude=task.problem.tool_prelude,
            settings=offer.settings[0],
            sandbox=self._sandbox,
        )
        return run.text, not run.succeeded

    async def _in_workspace(
        self, call: Call, made: Sequence[MadeCall], task: TeacherTask, offer: Offer
    ) -> tuple[str, bool]:
        async with self._tools[offer.path].workspace(task.problem) as workspace:
            for earlier in made:
                if earlier.call.error:
                    continue
                text, succeeded = await workspace.call(earlier.call.tool, earlier.call.arguments)
                same = _ADDRESS.sub("", encodable(text)) == _ADDRESS.sub("", earlier.text)
                if succeeded == earlier.failed or not same:
                    raise FailedReplyError("a call made again comes to something else")
            text, succeeded = await workspace.call(call.tool, call.arguments)
        return text, not succeeded

    async def close(self) -> None:
        """Close what the tools have open."""
        for tools in self._tools.values():
            await tools.close()

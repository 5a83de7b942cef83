"""What a teacher's call comes to: in a program of its own, or in a workspace where those before it are made again."""

import asyncio
from collections.abc import Sequence

from verl_coder.sandbox import SandboxClient
from verl_coder.teacher.desk import Desk
from verl_coder.teacher.dialogues import Call
from verl_coder.teacher.offers import Offer, Offers
from verl_coder.teacher.replies import FailedReplyError
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.tools.execution import run_program

Made = Sequence[tuple[Call, bool]]
"""Calls of a conversation, and whether each failed."""


class ToolRuns:
    """Runs calls, and holds nothing between two of them: a teacher may think, and a stopped command goes on."""

    def __init__(self, offers: Offers, sandbox: SandboxClient, *, places: int) -> None:
        """`places`: workspaces at a time."""
        self._offers, self._sandbox = offers, sandbox
        self._desks: dict[str, Desk] = {}
        self._at_desks = asyncio.Semaphore(places)

    async def run(self, call: Call, made: Made, task: TeacherTask) -> tuple[str, bool]:
        """(what the student reads of a call after those that were made, whether it failed).

        FailedReplyError where a call that is made again fails and did not before, or the other way round;
        SandboxUnavailableError where no sandbox answers.
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
        self, call: Call, made: Made, task: TeacherTask, offer: Offer
    ) -> tuple[str, bool]:
        key = str(offer.path)
        if key not in self._desks:
            self._desks[key] = Desk(offer.path, self._sandbox.urls)
        async with self._at_desks, self._desks[key].seat(task.problem) as seat:
            for earlier, failed in made:
                if earlier.error:
                    continue
                _, succeeded = await seat.call(earlier.tool, earlier.arguments)
                if succeeded == failed:
                    raise FailedReplyError("a call made again comes to something else")
            text, succeeded = await seat.call(call.tool, call.arguments)
        return text, not succeeded

    async def close(self) -> None:
        """Close what the tools have open."""
        for desk in self._desks.values():
            await desk.close()

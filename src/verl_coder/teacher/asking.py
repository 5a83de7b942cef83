"""Many samples at a time: conversations and their grading side by side, until all are done or a stop is asked for."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from verl_coder.errors import VerlCoderError
from verl_coder.teacher.budget import BudgetSpentError
from verl_coder.teacher.client import StoppedError
from verl_coder.teacher.synthesis import Conversed, Synthesis, TeacherSample
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.time_left import Pace

BUDGET = "budget: "
"""What `Asking.stopped` begins with where a budget is spent; else it is the name of a signal."""
_GRACE_S = 15.0
"""After the first signal, what is in flight may still arrive for so long."""
_MOST_UNGRADED = 2048
"""Conversations that wait for the grader; more would fill the memory where it is slower than the teacher."""


class Asking:
    """Plays the samples of `left`, and hands each one to `done` when it is graded.

    SIGINT or SIGTERM: nothing more is sent; a second one, or the end of the grace, drops what is in flight.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        left: Iterator[tuple[int, TeacherTask, int]],
        done: Callable[[TeacherSample], None],
    ) -> None:
        """`left` yields (place of the task, task, number of the sample)."""
        self.stopped = ""
        """Why not every sample was asked; empty where all were."""
        self._synthesis, self._left, self._done = synthesis, left, done
        self._asked = self._ended = 0
        self._pace = Pace()
        self._begun: dict[tuple[int, int], float] = {}
        """(place of the task, number of the sample) -> when its conversation began, of those that go on."""
        self._running: set[asyncio.Task[None]] = set()
        self._ungraded: asyncio.Queue[Conversed | None] = asyncio.Queue(_MOST_UNGRADED)

    @property
    def interrupted(self) -> bool:
        """A signal has come."""
        return bool(self.stopped) and not self.stopped.startswith(BUDGET)

    def left_words(self, of: int) -> str:
        """How long `of` samples still take, or how many are open, for how long; empty where nothing is known."""
        longest_s = time.monotonic() - min(self._begun.values()) if self._begun else None
        return self._pace.words(of, longest_s=longest_s, waiting=self._asked < of)

    async def run(self, in_flight: int, graders: int) -> None:
        """Until every sample is done or none may be asked; the first error of one ends all.

        `graders` conversations are graded at a time: more would hold up the asking where many answers come at once.
        """
        with _signals(self._stop):
            try:
                async with asyncio.TaskGroup() as group:
                    self._begin(group, self._ask_all(in_flight, graders))
                    for _ in range(graders):
                        self._begin(group, self._grade())
            except BaseExceptionGroup as errors:
                raise _first(errors) from None
            finally:
                await self._synthesis.end()

    async def _ask_all(self, in_flight: int, graders: int) -> None:
        async with asyncio.TaskGroup() as group:
            # Programs of some conversations run while others keep every place of the servers busy.
            for _ in range(2 * in_flight):
                self._begin(group, self._ask())
        for _ in range(graders):
            await self._ungraded.put(None)

    async def _ask(self) -> None:
        for place, task, number in self._left:
            self._asked += 1
            self._begun[place, number] = time.monotonic()
            try:
                conversed = await self._synthesis.converse(task, place, number)
            except BudgetSpentError as error:
                self.stopped = self.stopped or f"{BUDGET}{error}"
                self._synthesis.client.stop()
            except StoppedError:
                if self.interrupted:
                    return  # else the journal may know the samples that are left
            except VerlCoderError:
                if not self.interrupted:
                    raise
                return  # a sandbox of the same terminal has had the same Ctrl-C; others may still arrive
            else:
                await self._ungraded.put(conversed)
            finally:
                del self._begun[place, number]

    async def _grade(self) -> None:
        while conversed := await self._ungraded.get():
            try:
                sample = await self._synthesis.judge(conversed)
                self._ended += 1
                self._pace.see(self._ended)
                self._done(sample)
            except VerlCoderError:
                if not self.interrupted:
                    raise

    def _begin(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = group.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _stop(self, name: str) -> None:
        if self.interrupted:
            self._cancel()
        else:
            self.stopped = name
            self._synthesis.client.stop()
            asyncio.get_running_loop().call_later(_GRACE_S, self._cancel)

    def _cancel(self) -> None:
        for task in list(self._running):
            task.cancel()


@contextlib.contextmanager
def _signals(stop: Callable[[str], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    names = (signal.SIGINT, signal.SIGTERM)
    try:
        for name in names:
            loop.add_signal_handler(name, stop, name.name)
    except (RuntimeError, ValueError):  # not in the main thread: the caller has the signals
        yield
        return
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

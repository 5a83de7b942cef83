"""Grading beside generation: many samples at a time, equal programs once, and a second try where a limit was met.

A limit of seconds is fair only where the program has the processor to itself. A verdict that met one is taken again
when nothing else of this evaluation runs but as many second tries as the processors hold, and each limit is stretched
by what the other load takes from a program of the sandbox: the wall time of a loop that runs there, divided by the CPU
time it got. (This process may get another share: the sandbox can be another machine, and Linux shares a machine out
by session first.) A pass that took more CPU time than all limits together is none. So a limit is one of CPU time in
effect.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from verl_coder.errors import SandboxUnavailableError
from verl_coder.grading import TestReport, grade
from verl_coder.problems import Problem, TestSuite
from verl_coder.sandbox import RunRequest, SandboxClient

MAX_STRETCH = 16.0
_LOOP = """
import time
wall, cpu = time.perf_counter(), time.thread_time()
while (used := time.thread_time() - cpu) < 0.15:
    sum(range(1000))
print((time.perf_counter() - wall) / used)
"""
_CORES_OF_A_GRADING = 2
"""The judge's and the solution's."""
_BUSY = 1.15
"""A wall time so many times the CPU time is no other load, but the clock's grain."""
_MARGIN = 1.25
"""Of a stretched limit, since the load changes while the program runs; its CPU time is looked at afterwards."""
_OWN_CPU_SHARE = 0.95
"""A program that had so much of a limit as CPU time has used up its time, whatever else ran."""


@dataclass(frozen=True, kw_only=True)
class GradedCode:
    """A verdict and how it came about."""

    report: TestReport
    seconds: float
    provisional: bool
    """A limit was met while other things ran: take it again, alone."""


class GradingQueue:
    """Grades `concurrency` programs at a time; `waiting` is called when the number in work changes."""

    def __init__(
        self,
        sandbox: SandboxClient,
        *,
        concurrency: int,
        on_change: Callable[[int], None] = lambda change: None,
    ) -> None:
        self._sandbox = sandbox
        self._slots = asyncio.Semaphore(concurrency)
        self._alone = asyncio.Semaphore(max(1, len(os.sched_getaffinity(0)) // _CORES_OF_A_GRADING))
        self._on_change = on_change
        self._verdicts: dict[tuple[str, str], asyncio.Task[GradedCode]] = {}
        self._second: dict[tuple[str, str], asyncio.Task[GradedCode]] = {}

    async def verdict(self, problem: Problem, code: str) -> GradedCode:
        """The verdict on `code`; a program that another sample of the problem gave, too, is graded once.

        SandboxUnavailableError where the sandbox gives none.
        """
        key = (problem.problem_id, code)
        if key not in self._verdicts:
            self._verdicts[key] = asyncio.create_task(self._grade(code, problem.tests))
        return await asyncio.shield(self._verdicts[key])

    async def close(self) -> None:
        """End what is still graded, for which nobody waits any more."""
        tasks = [*self._verdicts.values(), *self._second.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _grade(self, code: str, tests: TestSuite) -> GradedCode:
        self._on_change(1)
        try:
            async with self._slots:
                started = time.monotonic()
                report = _answered(await grade(code, tests, self._sandbox))
                return GradedCode(
                    report=report,
                    seconds=time.monotonic() - started,
                    provisional=report.met_limit and not _used_its_time(report),
                )
        finally:
            self._on_change(-1)

    async def second_try(self, problem: Problem, code: str) -> GradedCode:
        """The verdict on `code` with a processor to itself, limits stretched by the load of the machine.

        Where a limit is met again, the first verdict stands; equal programs are tried once.
        """
        key = (problem.problem_id, code)
        if key not in self._second:
            self._second[key] = asyncio.create_task(self._try_again(problem, code))
        return await asyncio.shield(self._second[key])

    async def _try_again(self, problem: Problem, code: str) -> GradedCode:
        first = await self.verdict(problem, code)
        if not first.provisional:  # an earlier start met the limit, this one did not
            return first
        self._on_change(1)
        try:
            # After a resume the first verdicts of all of these are found anew, beside each other.
            while first_ones := [task for task in self._verdicts.values() if not task.done()]:
                await asyncio.wait(first_ones)
            async with self._alone:
                stretch = await load_of(self._sandbox)
                started = time.monotonic()
                # The first limit that is met again settles it, at the price of one limit.
                report = _answered(
                    await grade(code, problem.tests, self._sandbox, stretch=stretch, stop_early=True)
                )
                if report.met_limit:
                    report = first.report
                elif report.outcome != "passed":
                    report = _answered(await grade(code, problem.tests, self._sandbox, stretch=stretch))
                return GradedCode(report=report, seconds=time.monotonic() - started, provisional=False)
        finally:
            self._on_change(-1)


def _used_its_time(report: TestReport) -> bool:
    return report.cpu_share is not None and report.cpu_share >= _OWN_CPU_SHARE


def _answered(report: TestReport) -> TestReport:
    if report.outcome == "sandbox_unavailable":
        raise SandboxUnavailableError(report.message)
    return report


async def load_of(sandbox: SandboxClient) -> float:
    """How much longer than its CPU time a computing program takes there now, from 1 (alone) to MAX_STRETCH.

    SandboxUnavailableError where the program does not say.
    """
    response = await sandbox.run_code(RunRequest(code=_LOOP, run_timeout=60.0))
    said = (response.run_result.stdout or "") if response.run_result else ""
    try:
        ratio = float(said)
    except ValueError as error:
        raise SandboxUnavailableError(f"the sandbox ran no loop: {response.message or said[:200]}") from error
    return min(ratio * _MARGIN, MAX_STRETCH) if ratio > _BUSY else 1.0

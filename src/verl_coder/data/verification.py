"""Verification of one problem: its reference solution must pass the tests twice, and trivial ones should not.

The tests that the prompt shows are run once: those that the reference fails are no tests of a solution.
"""

import asyncio
import os
import time
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from verl_coder.data.shown_tests import false_examples
from verl_coder.data.trivial import trivial_solutions
from verl_coder.data.verdicts import Status, Verdict, verdict_key
from verl_coder.errors import DataError, SandboxUnavailableError
from verl_coder.grading import TestReport, grade
from verl_coder.problems import Problem
from verl_coder.sandbox import SandboxClient
from verl_coder.words import counted

Verify = Callable[[Problem], Awaitable[Verdict]]


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Where problems are verified: a Ray cluster, the given sandboxes, or one started for this run."""

    sandbox_url: str | None = None
    ray_address: str | None = None
    concurrency: int = 0
    """Problems verified at a time on each machine; 0 = twice the number of cores."""

    @property
    def effective_concurrency(self) -> int:
        return self.concurrency or 2 * len(os.sched_getaffinity(0))


async def verify_problem(problem: Problem, sandbox: SandboxClient) -> Verdict:
    """The verdict on one reading; SandboxUnavailableError when the sandbox gives no answer."""
    key = verdict_key(problem)
    if not problem.reference_solution.strip():
        return Verdict(
            key=key, status="no_reference", message="no reference solution (--no-verify keeps such rows)"
        )
    started = time.perf_counter()
    try:
        (status, first), (again, second) = await _two_runs(problem, sandbox)
        if "timeout" in (status, again):
            async with _alone(sandbox):  # the machine may have been busy with the other problems
                (status, first), (again, second) = await _two_runs(problem, sandbox)
    except DataError as error:
        return Verdict(key=key, status="bad_tests", message=str(error))
    message = "" if status == "passed" else _describe(first)
    if (status, first.passed) != (again, second.passed):
        message = f"two runs differ: {status}, {_describe(first)} | {again}, {_describe(second)}"
        status = "flaky"
    return Verdict(
        key=key,
        status=status,
        message=message,
        passed=first.passed,
        total=first.total,
        trivial=await _passing_trivial(problem, sandbox) if status == "passed" else "",
        false_examples=await false_examples(problem, sandbox) if status == "passed" else (),
        seconds=round(time.perf_counter() - started, 3),
    )


async def _two_runs(problem: Problem, sandbox: SandboxClient) -> list[tuple[Status, TestReport]]:
    return [await _run(problem.reference_solution, problem, sandbox) for _ in range(2)]


async def _run(
    code: str, problem: Problem, sandbox: SandboxClient, *, stop_early: bool = False
) -> tuple[Status, TestReport]:
    report = await grade(code, problem.tests, sandbox, stop_early=stop_early)
    if report.outcome == "sandbox_unavailable":
        raise SandboxUnavailableError(
            f"{report.message}; the verdicts so far are kept, and the same command goes on from there"
        )
    return report.outcome, report


async def _passing_trivial(problem: Problem, sandbox: SandboxClient) -> str:
    """The first trivial solution that passes all tests; empty if none does."""
    for description, code in trivial_solutions(problem):
        status, _ = await _run(code, problem, sandbox, stop_early=True)
        if status == "passed":
            return description
    return ""


_locks: "weakref.WeakKeyDictionary[SandboxClient, asyncio.Lock]" = weakref.WeakKeyDictionary()


def _alone(sandbox: SandboxClient) -> asyncio.Lock:
    """One lock per sandbox client: second chances after a time-out run one at a time."""
    return _locks.setdefault(sandbox, asyncio.Lock())


def _describe(report: TestReport) -> str:
    counts = f"{report.passed}/{counted(report.total, 'test')} passed"
    text = " ".join(report.message.split())[:500]
    return f"{counts}; {text}" if text else counts

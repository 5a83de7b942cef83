"""Does the reference solution pass the tests, twice, and do solutions that know nothing fail them?"""

import asyncio
import os
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from verl_coder.data.trivial import trivial_solutions
from verl_coder.data.verdicts import Verdict, VerdictCache, verdict_key
from verl_coder.errors import DataError, SandboxUnavailableError
from verl_coder.problems import Problem

Verify = Callable[[Problem], Awaitable[Verdict]]

MAX_PENDING_BYTES = 64 * 2**20
"""Tests of all candidates under way: huge ones must not fill the memory of a machine with many cores."""


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


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One problem in its readings (tests x references), and the place of its record."""

    place: str
    problems: Sequence[Problem]


async def verify_problem(problem: Problem, sandbox: object) -> Verdict:
    """The verdict on one reading; SandboxUnavailableError when the sandbox gives no answer."""
    from verl_coder.grading import grade

    key = verdict_key(problem)
    if not problem.reference_solution.strip():
        return Verdict(
            key=key, status="no_reference", message="no reference solution (--no-verify keeps such rows)"
        )
    started = time.perf_counter()
    try:
        first, second = await _two_runs(problem, sandbox)
        if "timeout" in (first.outcome, second.outcome):
            async with _alone(sandbox):  # the machine may have been busy with the other problems
                first, second = await _two_runs(problem, sandbox)
    except DataError as error:
        return Verdict(key=key, status="bad_tests", message=str(error))
    status, message = first.outcome, _message(first)
    if (first.outcome, first.passed) != (second.outcome, second.passed):
        status = "flaky"
        message = (
            f"two runs differ: {first.outcome}, {_describe(first)} | {second.outcome}, {_describe(second)}"
        )
    trivial = ""
    if status == "passed":
        for description, code in trivial_solutions(problem):
            report = _answered(await grade(code, problem.tests, sandbox, stop_early=True))  # type: ignore[arg-type]
            if report.outcome == "passed":
                trivial = description
                break
    return Verdict(
        key=key,
        status=status,  # type: ignore[arg-type]
        message=message,
        passed=first.passed,
        total=first.total,
        seconds=round(time.perf_counter() - started, 3),
        trivial=trivial,
    )


@asynccontextmanager
async def open_verifier(options: VerifyOptions) -> AsyncIterator[tuple[Verify, int]]:
    """(verify, how many problems to have under way), on whatever `options` names."""
    if options.ray_address:
        from verl_coder.data.ray_verification import open_ray_verifier

        async with open_ray_verifier(options) as ray_verifier:
            yield ray_verifier
        return
    from verl_coder.sandbox import SandboxClient
    from verl_coder.sandbox.embedded import EmbeddedSandbox

    given = options.sandbox_url or os.environ.get("SANDBOX_URL", "")
    with ExitStack() as stack:
        urls = [url.strip() for url in given.split(",") if url.strip()]
        if not urls:
            urls = [stack.enter_context(EmbeddedSandbox()).url]
        count = options.effective_concurrency * len(urls)
        async with SandboxClient(urls, max_concurrency=count) as client:
            yield (lambda problem: verify_problem(problem, client)), count


async def verify_all(
    candidates: Iterable[Candidate], options: VerifyOptions, cache: VerdictCache
) -> AsyncIterator[tuple[Candidate, Problem, Verdict]]:
    """Each candidate in order with its first reading that passes, else with the first reading's verdict.

    Memory is the candidates under way, see MAX_PENDING_BYTES. What the cache knows is not run again.
    """
    async with open_verifier(options) as (verify, window):
        pending: deque[tuple[Candidate, int, asyncio.Task[tuple[Problem, Verdict]]]] = deque()
        pending_bytes = 0
        try:
            for candidate in candidates:
                size = len(candidate.problems[0].tests.to_json())
                # Twice the window, because the oldest may be slow while the others are done.
                while len(pending) >= 2 * window or (pending and pending_bytes + size > MAX_PENDING_BYTES):
                    done, done_bytes, task = pending.popleft()
                    pending_bytes -= done_bytes
                    yield done, *await task
                task = asyncio.create_task(_first_passing(candidate, verify, cache))
                pending.append((candidate, size, task))
                pending_bytes += size
                await asyncio.sleep(0)
            while pending:
                done, _, task = pending.popleft()
                yield done, *await task
        finally:
            for _, _, task in pending:
                task.cancel()
            await asyncio.gather(*(task for _, _, task in pending), return_exceptions=True)


async def _first_passing(
    candidate: Candidate, verify: Verify, cache: VerdictCache
) -> tuple[Problem, Verdict]:
    first: tuple[Problem, Verdict] | None = None
    for problem in candidate.problems:
        verdict = cache.get(verdict_key(problem))
        if verdict is None:
            verdict = await verify(problem)
            cache.put(verdict)
        first = first or (problem, verdict)
        if verdict.status == "passed":
            return problem, verdict
    assert first is not None
    return first


_locks: "weakref.WeakKeyDictionary[object, asyncio.Lock]" = weakref.WeakKeyDictionary()


def _alone(sandbox: object) -> asyncio.Lock:
    """One lock per sandbox client: second chances after a time-out run one at a time."""
    return _locks.setdefault(sandbox, asyncio.Lock())


async def _two_runs(problem: Problem, sandbox: object):  # type: ignore[no-untyped-def]
    from verl_coder.grading import grade

    return [
        _answered(await grade(problem.reference_solution, problem.tests, sandbox))  # type: ignore[arg-type]
        for _ in range(2)
    ]


def _answered(report):  # type: ignore[no-untyped-def]
    if report.outcome == "sandbox_unavailable":
        raise SandboxUnavailableError(
            f"{report.message}; the verdicts so far are kept, and the same command goes on from there"
        )
    return report


def _message(report) -> str:  # type: ignore[no-untyped-def]
    return "" if report.outcome == "passed" else _describe(report)


def _describe(report) -> str:  # type: ignore[no-untyped-def]
    counts = f"{report.passed}/{report.total} tests passed"
    text = " ".join(str(report.message).split())[:500]
    return f"{counts}; {text}" if text else counts

"""Many problems verified at a time, in order: in sandboxes, or on the machines of a Ray cluster."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from verl_coder.data.ray_verification import open_ray_verifier
from verl_coder.data.shown_tests import without_false_examples
from verl_coder.data.verdicts import Verdict, VerdictCache, verdict_key
from verl_coder.data.verification import Verify, VerifyOptions, verify_problem
from verl_coder.problems import Problem
from verl_coder.sandbox.opening import open_sandbox

MAX_PENDING_BYTES = 64 * 2**20
"""Tests of all candidates under way: huge ones must not fill the memory of a machine with many cores."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One problem in its readings (tests x references), and the place of its record."""

    place: str
    problems: Sequence[Problem]
    row: Mapping[str, Any] = field(default_factory=dict)
    """The row that it was read from, where it is a written one."""


@asynccontextmanager
async def open_verifier(options: VerifyOptions) -> AsyncIterator[tuple[Verify, int]]:
    """(verify, number of problems to keep under way) in the sandboxes or on the cluster that `options` names."""
    if options.ray_address:
        async with open_ray_verifier(options) as ray_verifier:
            yield ray_verifier
        return
    async with open_sandbox(options.sandbox_url, options.effective_concurrency) as (client, count):
        yield (lambda problem: verify_problem(problem, client)), count


async def verify_all(
    candidates: Iterable[Candidate], options: VerifyOptions, cache: VerdictCache
) -> AsyncIterator[tuple[Candidate, Problem, Verdict]]:
    """Each candidate in order with its first reading that passes, else with the first reading's verdict.

    A reading that passes shows no visible test that its reference fails.

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
            return without_false_examples(problem, verdict.false_examples), verdict
    assert first is not None
    return first

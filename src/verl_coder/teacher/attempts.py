"""Attempts at a problem: codes of samples and the reference, each run as the interpreter would, and graded."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from verl_coder.errors import DataError, SandboxUnavailableError
from verl_coder.grading import grade
from verl_coder.grading.report import OF_ITS_MOMENT
from verl_coder.problems import AssertTests, Problem
from verl_coder.prompts import visible_tests_of
from verl_coder.sandbox import SandboxClient
from verl_coder.teacher.attempt_journal import AttemptJournal, attempt_key
from verl_coder.teacher.checks import Check, check_of
from verl_coder.teacher.samples import usable_code
from verl_coder.teacher.trace_tools import TESTS, TraceTools
from verl_coder.tools.execution import ProgramRun, run_program

T = TypeVar("T")
Origin = Literal["own", "reference"]
Verdict = Literal["passed", "failed", "hidden_failed", "unclear"]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A code, the program that tries it on the visible examples, and what came of it."""

    code: str
    origin: Origin
    program: str
    run: ProgramRun
    told: str
    """What the model reads of the run."""
    verdict: Verdict
    """`hidden_failed`: every example is right, and a hidden test is not; `unclear`: neither right nor wrong."""


@dataclass(frozen=True, kw_only=True)
class TriedProblem:
    """A problem with the attempts that a trace may be made of."""

    problem: Problem
    attempts: tuple[Attempt, ...] = ()
    reference: Attempt | None = None
    """Run only where no sample passes."""
    skipped: str = ""
    """Why nothing was run; empty where something was."""

    def own(self, verdict: Verdict) -> list[Attempt]:
        """The model's attempts of this verdict, in the order of the samples."""
        return [attempt for attempt in self.attempts if attempt.verdict == verdict]

    @property
    def right(self) -> list[Attempt]:
        """What may end a trace: the passing samples, else the reference if it passes."""
        found = self.own("passed")
        if not found and self.reference is not None and self.reference.verdict == "passed":
            return [self.reference]
        return found


@dataclass(frozen=True, kw_only=True)
class AttemptRunner:
    """Where attempts run, with the limits and the output form of the tool."""

    tools: TraceTools
    sandbox: SandboxClient
    journal: AttemptJournal
    on_attempt: Callable[[str], None] = lambda verdict: None

    async def attempt(self, code: str, origin: Origin, problem: Problem, check: Check) -> Attempt:
        """Run and grade one code, or take it from the journal.

        SandboxUnavailableError where the sandbox gives no answer.
        """
        program = check.program(code, setup_of(problem))
        key = attempt_key(code, program, problem, self.tools.settings)
        run, passes = self.journal.find(key) or await self._run(key, code, program, problem, check)
        run = run._replace(settings=self.tools.settings)  # the journal does not hold them
        verdict: Verdict = "unclear"
        if check.passed(run):
            verdict = "passed" if passes else "hidden_failed"
        elif check.failed(run):
            verdict = "failed"
        self.on_attempt(verdict)
        told = check.told(run)
        return Attempt(code=code, origin=origin, program=program, run=run, told=told, verdict=verdict)

    async def _run(
        self, key: str, code: str, program: str, problem: Problem, check: Check
    ) -> tuple[ProgramRun, bool]:
        """(what the program did, whether the code passes the hidden tests; they are not asked of a wrong one)."""
        run = await run_program(
            program, prelude=problem.tool_prelude, settings=self.tools.settings, sandbox=self.sandbox
        )
        outcome = await self._outcome(code, problem) if check.passed(run) else "failed"
        if outcome not in OF_ITS_MOMENT:
            self.journal.add(key, run, passes=outcome == "passed")
        return run, outcome == "passed"

    async def _outcome(self, code: str, problem: Problem) -> str:
        try:
            report = await grade(code, problem.tests, self.sandbox, stop_early=True)
        except DataError as error:
            raise DataError(f"{problem.problem_id}: {error}") from error
        if report.outcome == "sandbox_unavailable":
            raise SandboxUnavailableError(report.message)
        return report.outcome


def setup_of(problem: Problem) -> str:
    """The set-up code of the hidden tests; empty where they have none."""
    return problem.tests.setup.strip() if isinstance(problem.tests, AssertTests) else ""


async def try_problem(problem: Problem, codes: Sequence[str], runner: AttemptRunner) -> TriedProblem:
    """Every code, and the reference where none of them passes."""
    reference = usable_code(problem.reference_solution)
    if not codes and not reference:
        return TriedProblem(problem=problem, skipped="no sample with code and no reference")
    tests = visible_tests_of(problem.prompt)
    check = check_of(tests, by_tests=runner.tools.kind == TESTS)
    if check is None:
        return TriedProblem(
            problem=problem,
            skipped="its visible tests are no asserts" if tests else "its prompt shows no tests",
        )
    attempts = await gather([runner.attempt(code, "own", problem, check) for code in codes])
    tried = TriedProblem(problem=problem, attempts=tuple(attempts))
    if tried.right or not reference:
        return tried
    mended = await runner.attempt(reference, "reference", problem, check)
    return TriedProblem(problem=problem, attempts=tried.attempts, reference=mended)


async def try_all(
    problems: Sequence[Problem], codes: Mapping[str, Sequence[str]], runner: AttemptRunner
) -> list[TriedProblem]:
    """Each problem with its codes by problem_id."""
    return await gather([try_problem(one, codes.get(one.problem_id, ()), runner) for one in problems])


async def gather(work: Sequence[Awaitable[T]]) -> list[T]:
    """All results in order; the first error ends the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

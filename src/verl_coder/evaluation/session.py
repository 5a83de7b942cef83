"""One evaluation: draw the samples that are owed, grade them meanwhile, and keep each as soon as it is done."""

import asyncio
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from verl_coder.errors import BrokenAnswerError, EngineError, SandboxUnavailableError
from verl_coder.evaluation.clock import WorkClock
from verl_coder.evaluation.grading_queue import GradedCode, GradingQueue
from verl_coder.evaluation.problem_set import ProblemSet
from verl_coder.evaluation.protocol import Posed
from verl_coder.evaluation.samples import EvaluationSample, SampleJournal
from verl_coder.evaluation.trajectories import AgentLoops, DrawSettings, Trajectory
from verl_coder.grading import answer_code
from verl_coder.sandbox import SandboxClient

_GRADINGS = 8
_TRIES = 3
"""Of a trajectory whose tool got no answer from its sandbox, or one of whose turns was broken off."""
_PAUSE_S = 1.0
"""Before a second try; twice as long before a third."""
_MOST_BROKEN = 20
"""After so many samples without an answer no more are asked for: it is the server, not the problem."""
_SEEDS = 1 << 31


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How many samples of each problem, and how they are drawn; wholly greedy ones have no seed."""

    samples: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    retry_temperature: float | None = None

    def sampling(self, problem_id: str, sample: int) -> DrawSettings:
        """The same sample has the same seed in every start of the evaluation."""
        seed = None
        if self.temperature or self.retry_temperature:
            seed = random.Random(f"{self.seed}/{problem_id}/{sample}").randrange(_SEEDS)
        return DrawSettings(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            retry_temperature=self.retry_temperature,
            seed=seed,
        )


def owed(problems: ProblemSet, journal: SampleJournal, draws: Draws) -> list[tuple[Posed, int]]:
    """Samples that the journal lacks, problems in a random order, so that a part of them speaks for all."""
    order = list(problems.problems)
    random.Random(draws.seed).shuffle(order)
    return [
        (posed, sample)
        for posed in order
        for sample in range(draws.samples)
        if (posed.problem.problem_id, sample) not in journal.samples
    ]


class EvaluationSession:
    """Draws and grades; everything that is shared by its tasks."""

    def __init__(
        self,
        *,
        problems: ProblemSet,
        draws: Draws,
        loops: AgentLoops,
        sandbox: SandboxClient,
        journal: SampleJournal,
        concurrency: int,
        clock: WorkClock,
        on_sample: Callable[[EvaluationSample], None] = lambda sample: None,
    ) -> None:
        self.problems = problems
        self.draws = draws
        self.loops = loops
        self.journal = journal
        self.concurrency = concurrency
        self.on_sample = on_sample
        self.clock = clock
        self._unanswered: list[str] = []
        """What is wrong with the answers to each sample that has been given up."""
        self._ungraded = asyncio.Semaphore(max(concurrency, _GRADINGS))
        """Answers that wait for their verdict, which a kill would lose."""
        self.grading = GradingQueue(sandbox, concurrency=_GRADINGS, on_change=self.clock.change_grading)

    async def run(self) -> None:
        """Draw all that is owed; SandboxUnavailableError once a sample got no verdict or its tool no answer.

        EngineError, when the others are drawn, for samples whose answers were broken off at each try.
        """
        try:
            await _all_or_first_error(self._worker(iterator) for iterator in self._workers())
            owed_tries = [self.journal.samples[key] for key in sorted(self.journal.provisional)]
            await _all_or_first_error(self._second_try(sample) for sample in owed_tries)
        finally:
            await self.grading.close()
        if self._unanswered:
            raise self._no_answers()

    def _no_answers(self) -> EngineError:
        return EngineError(
            f"{len(self._unanswered)} samples have no answer after {_TRIES} tries each, the first is "
            f"{self._unanswered[0]}; they count as nothing, the others are kept, and the same command asks again"
        )

    def _workers(self) -> Iterable["_Shared"]:
        work = _Shared(owed(self.problems, self.journal, self.draws))
        return [work] * min(self.concurrency, max(len(work.items), 1))

    async def _worker(self, work: "_Shared") -> None:
        """Trajectories one after the other; their grading goes on beside the next ones."""
        gradings: set[asyncio.Task[None]] = set()
        try:
            while (item := work.next()) is not None:
                posed, sample = item
                self.clock.begin((posed.problem.problem_id, sample))
                try:
                    trajectory = await self._draw(posed, sample)
                except BrokenAnswerError as error:
                    self._unanswered.append(f"{posed.problem.problem_id}, sample {sample}: {error}")
                    if len(self._unanswered) >= _MOST_BROKEN:
                        raise self._no_answers() from error
                    continue
                finally:
                    self.clock.end((posed.problem.problem_id, sample))
                await self._ungraded.acquire()
                gradings.add(asyncio.create_task(self._finish(posed, sample, trajectory)))
                for task in [task for task in gradings if task.done()]:
                    gradings.discard(task)
                    task.result()
            await asyncio.gather(*gradings)
        except BaseException:
            for task in gradings:
                task.cancel()
            await asyncio.gather(*gradings, return_exceptions=True)
            raise

    async def _draw(self, posed: Posed, sample: int) -> Trajectory:
        sampling = self.draws.sampling(posed.problem.problem_id, sample)
        for attempt in range(_TRIES):
            try:
                return await self.loops.run(posed, sampling)
            except (SandboxUnavailableError, BrokenAnswerError):
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError("unreachable")

    async def _finish(self, posed: Posed, number: int, trajectory: Trajectory) -> None:
        problem = posed.problem
        code = answer_code(trajectory.answer, problem.tests) or ""  # as rewards.grade_answer does
        try:
            graded = await self.grading.verdict(problem, code)
        finally:
            self._ungraded.release()
        sample = EvaluationSample(
            problem_id=problem.problem_id,
            data_source=problem.data_source,
            difficulty=problem.difficulty,
            tags=list(problem.tags),
            sample=number,
            prompt=trajectory.prompt,
            output=trajectory.output,
            code=code,
            tool_calls=trajectory.tool_calls,
            valid_tool_calls=trajectory.valid_tool_calls,
            turns=trajectory.turns,
            prompt_tokens=trajectory.prompt_tokens,
            response_tokens=trajectory.response_tokens,
            finish_reason=trajectory.finish_reason,
            seconds=round(trajectory.seconds, 4),
            tool_successes=trajectory.tool_successes,
            generated_tokens=trajectory.generated_tokens,
            **_verdict(graded),
        )
        self.journal.add(sample, provisional=graded.provisional)
        self.on_sample(sample)

    async def _second_try(self, sample: EvaluationSample) -> None:
        problem = next(p.problem for p in self.problems.problems if p.problem.problem_id == sample.problem_id)
        graded = await self.grading.second_try(problem, sample.code)
        again = replace(sample, **_verdict(graded), second_try=True)
        self.journal.add(again)
        self.on_sample(again)


class _Shared:
    """Items handed to many workers, each once."""

    def __init__(self, items: list[tuple[Posed, int]]) -> None:
        self.items = items
        self._next = iter(items)

    def next(self) -> tuple[Posed, int] | None:
        return next(self._next, None)


def _verdict(graded: GradedCode) -> dict[str, Any]:
    """The columns that come of a report."""
    report = graded.report
    found = report.to_dict()
    return {
        "outcome": report.outcome,
        "passed": report.passed,
        "total": report.total,
        "pass_rate": report.pass_rate,
        "tests": json.dumps(found["tests"]),
        "message": report.message,
        "grading_s": round(graded.seconds, 4),
    }


async def _all_or_first_error(work: Iterable[object]) -> None:
    """Wait for all; the first error ends the others and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]  # type: ignore[call-overload]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

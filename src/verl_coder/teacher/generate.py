"""`verl-coder teacher generate` from the problems to the file of traces.

A command that was stopped, killed or refused goes on when it is given again: what the journal has is not asked again.
"""

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from verl_coder.errors import ConfigError, TeacherError
from verl_coder.files import write_atomically
from verl_coder.sandbox.opening import open_sandbox
from verl_coder.teacher.asking import Asking
from verl_coder.teacher.budget import Budget
from verl_coder.teacher.connection import check_servers
from verl_coder.teacher.journal import Journal
from verl_coder.teacher.options import GenerateOptions
from verl_coder.teacher.selection import select
from verl_coder.teacher.synthesis import Synthesis, TeacherSample, text_key
from verl_coder.teacher.tasks import TeacherTask, read_tasks
from verl_coder.teacher.trace_file import beside, keep_inputs, set_aside, write_traces

_COLUMNS = (
    ("agent_name", pa.string()),
    ("outcome", pa.string()),
    ("pass_rate", pa.float64()),
    ("turns", pa.int64()),
    ("prompt_tokens", pa.int64()),
    ("completion_tokens", pa.int64()),
    ("finish_reason", pa.string()),
    ("sample", pa.int64()),
)
_TICK_S = 1.0


@dataclass(kw_only=True)
class GenerateReport:
    """What was asked and what came of it."""

    problems: int = 0
    wanted: int = 0
    """Samples: problems times --num-samples."""
    repeated: int = 0
    """Problems left out because they ask word for word the same as one before."""
    refused: dict[str, str] = field(default_factory=dict)
    """Problems that a server refuses, by problem_id, and its words."""
    samples: list[TeacherSample] = field(default_factory=list)
    kept: list[TeacherSample] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    """Samples that are no trace, by reason."""
    known_answers: int = 0
    """Of earlier starts, in the journal."""
    torn: int = 0
    unreadable: int = 0
    """Lines of the journal that are no entry of one: their answers were asked again."""
    answers: int = 0
    """Of this start."""
    faults: dict[str, int] = field(default_factory=dict)
    """Attempts that failed and were made again, by what was wrong."""
    budget: Budget = field(default_factory=Budget)
    seconds: float = 0.0
    left: str = ""
    """How long it still takes, or how many samples are still open, in words; empty where nothing is known of it."""
    stopped: str = ""
    """Why not every sample was asked; empty where all were."""
    interrupted: bool = False
    """By a signal: then nothing is written but the journal."""
    set_aside: str = ""
    """What became of older traces where no sample is one, in words."""

    def statistics(self) -> dict[str, Any]:
        """The numbers of the table, for a file beside the traces."""
        samples = self.samples
        code = [sample for sample in samples if sample.verdict or sample.dropped == "invalid Python"]
        passing = [sample for sample in samples if sample.passed]
        return {
            "problems": self.problems,
            "problems_repeated": self.repeated,
            "problems_refused": self.refused,
            "samples_wanted": self.wanted,
            "samples": len(samples),
            "with_thinking": sum(bool(sample.thinking) for sample in samples),
            "with_code": len(code),
            "valid_python": sum(sample.verdict is not None for sample in samples),
            "passing": len(passing),
            "problems_passed": len({sample.task for sample in passing}),
            "parse_failures": sum(s.dropped in ("no code", "invalid Python") for s in samples),
            "calls": sum(sample.calls for sample in samples),
            "with_calls": sum(sample.calls > 0 for sample in samples),
            "traces": len(self.kept),
            "dropped": dict(self.dropped.most_common()),
            "answers_of_earlier_starts": self.known_answers,
            "answers": self.answers,
            "requests": self.budget.requests,
            "faults": self.faults,
            "prompt_tokens": self.budget.prompt_tokens,
            "completion_tokens": self.budget.completion_tokens,
            "answers_without_usage": self.budget.without_usage,
            "cost": round(self.budget.cost, 4),
            "seconds": round(self.seconds, 2),
            "requests_per_s": round(self.answers / self.seconds, 2) if self.seconds else None,
            "stopped": self.stopped,
        }


@dataclass(kw_only=True)
class Hooks:
    """What a terminal is told while the work goes on."""

    on_plan: Callable[[Sequence[TeacherTask], dict[str, Any], Journal], None] = lambda *_: None
    """The problems, and the first request as it will be sent, before anything is."""
    on_sample: Callable[[TeacherSample, GenerateReport], None] = lambda *_: None
    on_tick: Callable[[GenerateReport], None] = lambda *_: None
    """Now and then, whether a sample has ended or not."""


def generate(options: GenerateOptions, hooks: Hooks | None = None) -> GenerateReport:
    """Ask, grade, choose and write. ConfigError, DataError, TeacherError or SandboxUnavailableError in one line.

    Where no sample is a trace there is no file of traces: older ones are set aside.
    """
    hooks = hooks or Hooks()
    if options.out.is_dir():
        raise ConfigError(
            f"--out {options.out} is a folder: name a file, such as {options.out / 'traces.parquet'}"
        )
    _keep_files(options)
    repeated: list[str] = []
    tasks = read_tasks(
        options.problems,
        options.mode,
        options.sampling,
        offers=options.offers(),
        max_tasks=options.max_tasks,
        on_repeated=repeated.append,
    )
    report = GenerateReport(
        problems=len(tasks), wanted=len(tasks) * options.num_samples, repeated=len(repeated)
    )
    asyncio.run(_check_servers(options))  # before a word is printed or a file is made
    with Journal(options.journal_path) as journal:
        report.budget = _budget(options, journal)
        report.known_answers, report.torn = journal.replies, journal.torn
        report.unreadable = journal.unreadable
        hooks.on_plan(tasks, options.first_request(tasks[0]), journal)
        synthesis = asyncio.run(_run(options, tasks, journal, report, hooks))
        if not report.interrupted:
            _write(options, tasks, synthesis, report)
    return report


async def _check_servers(options: GenerateOptions) -> None:
    async with options.client() as client:
        await check_servers(client, options.model)


def _keep_files(options: GenerateOptions) -> None:
    """ConfigError where the command would write over what it reads, or over its own files."""
    written = {
        "--out": options.out,
        "--journal": options.journal_path,
        "the statistics' file": statistics_path(options.out),
    }
    keep_inputs(written, options.problems, {"--tools": [options.tools] if options.tools else []})


def statistics_path(out: Path) -> Path:
    """The file of the numbers beside the traces."""
    return beside(out, ".statistics.json")


def _budget(options: GenerateOptions, journal: Journal) -> Budget:
    return replace(
        options.budget,
        requests=journal.requests,
        prompt_tokens=journal.usage[0],
        completion_tokens=journal.usage[1],
    )


async def _run(
    options: GenerateOptions,
    tasks: Sequence[TeacherTask],
    journal: Journal,
    report: GenerateReport,
    hooks: Hooks,
) -> Synthesis:
    offers = options.offers()
    named = offers.sandbox_url(task.protocol for task in tasks)
    concurrency = options.concurrency or 2 * len(os.sched_getaffinity(0))
    async with (
        options.client(report.budget, lambda usage: journal.add_spent(1, usage)) as client,
        open_sandbox(options.sandbox_url, concurrency, tools_url=named) as (sandbox, places),
    ):
        synthesis = Synthesis(
            client=client,
            journal=journal,
            sandbox=sandbox,
            sampling=options.sampling,
            offers=offers,
            tasks=tasks,
            places=places,
            max_turns=options.max_turns,
            learn_failures=options.learn_failures,
        )
        started, known = time.perf_counter(), len(journal)
        left = ((i, task, n) for i, task in enumerate(tasks) for n in range(options.num_samples))

        def done(sample: TeacherSample) -> None:
            report.samples.append(sample)
            if sample.refusal:
                report.refused[tasks[sample.task].problem.problem_id] = sample.refusal
            report.seconds = time.perf_counter() - started
            report.answers = len(journal) - known
            report.left = asking.left_words(report.wanted)
            hooks.on_sample(sample, report)

        asking = Asking(synthesis, left, done)
        ticking = asyncio.create_task(_tick(report, asking, hooks))
        try:
            await asking.run(options.in_flight, 2 * concurrency)
        finally:
            ticking.cancel()
            report.stopped, report.interrupted = asking.stopped, asking.interrupted
            report.faults = client.faults
            report.seconds = time.perf_counter() - started
            report.answers = len(journal) - known
            with contextlib.suppress(TeacherError):  # a full disk has been told already
                await _write_unanswered(report.budget, journal)
    return synthesis


async def _tick(report: GenerateReport, asking: Asking, hooks: Hooks) -> None:
    """Until it is cancelled: the last answers let wait, and meanwhile nothing else would tell of them."""
    while True:
        await asyncio.sleep(_TICK_S)
        report.left = asking.left_words(report.wanted)
        hooks.on_tick(report)


async def _write_unanswered(budget: Budget, journal: Journal) -> None:
    """Note the requests that were dropped while they were in flight: a later start's budgets count them."""
    tokens = (budget.prompt_tokens - journal.usage[0], budget.completion_tokens - journal.usage[1])
    if budget.requests > journal.requests:
        await journal.add_spent(budget.requests - journal.requests, tokens)


def _write(
    options: GenerateOptions, tasks: Sequence[TeacherTask], synthesis: Synthesis, report: GenerateReport
) -> None:
    """Choose, and write the traces and the statistics; conversations are read back from the journal one by one."""
    report.kept, report.dropped = select(report.samples, options.keep, per_problem=options.per_problem)
    report.kept.sort(key=lambda sample: (tasks[sample.task].place, sample.number))
    rows = (_row(sample, tasks[sample.task], synthesis, options.model) for sample in report.kept)
    numbers = json.dumps(report.statistics(), indent=2, ensure_ascii=False) + "\n"
    try:
        if report.kept:
            write_traces(rows, options.out, further=_COLUMNS)
        else:
            report.set_aside = set_aside(options.out)
        write_atomically(statistics_path(options.out), numbers)
    except OSError as error:
        raise ConfigError(
            f"--out {options.out} cannot be written ({error.strerror}): the answers are in {options.journal_path}; "
            "make room, and the same command goes on"
        ) from error


def _row(sample: TeacherSample, task: TeacherTask, synthesis: Synthesis, model: str) -> dict[str, Any]:
    """A kept sample as its journal has it; TeacherError where that is not the conversation which was graded."""
    assert sample.verdict is not None
    played = synthesis.replay(task, sample.number)
    if not played.ended or text_key(played) != sample.text_key:
        raise TeacherError(
            f"{synthesis.journal.path}: the answers of {task.problem.problem_id}, sample {sample.number} are not those "
            "that were graded: no trace is written; the same command asks for them again"
        )
    return {
        "problem_id": task.problem.problem_id,
        "messages": played.dialogue.trace,
        "source": f"teacher/{model}",
        "agent_name": task.problem.agent_name,
        "outcome": sample.verdict.outcome,
        "pass_rate": sample.verdict.pass_rate,
        "turns": sample.turns,
        "prompt_tokens": sample.prompt_tokens,
        "completion_tokens": sample.completion_tokens,
        "finish_reason": sample.finish_reason,
        "sample": sample.number,
    }

"""Traces of a model that never calls the tool: its own samples tried, mended and answered, without a teacher."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from verl_coder.data.prepared import iter_rows, resolve_prepared
from verl_coder.errors import ConfigError, DataError
from verl_coder.grading import answer_code
from verl_coder.problems import Message, Problem
from verl_coder.teacher.attempt_journal import AttemptJournal, journal_path
from verl_coder.teacher.attempts import (
    FEEDBACK_AGENT_NAME,
    TriedProblem,
    tool_of,
    try_all,
)
from verl_coder.teacher.choice import Sketch, choose, make_direct, sketches
from verl_coder.teacher.conversation import (
    AGENT_NAME,
    PLAIN_AGENT_NAME,
    decoded_response,
    failure_name,
    write_messages,
)
from verl_coder.teacher.samples import Samples, quotable, read_samples
from verl_coder.teacher.tasks import read_problem
from verl_coder.teacher.trace_file import keep_inputs, set_aside, write_traces

SOURCE = "repairs"
_COLUMNS = (
    ("agent_name", pa.string()),
    ("attempts", pa.int64()),
    ("failures", pa.list_(pa.string())),
    ("last_code", pa.string()),
)


@dataclass(frozen=True, kw_only=True)
class RepairOptions:
    """What `verl-coder teacher repairs` is asked for."""

    problems: Path
    out: Path
    tools: Path | None = None
    """YAML; None: the shipped one that the rows need."""
    samples: tuple[Path, ...] = ()
    per_problem: int = 4
    max_attempts: int = 3
    """Calls of the interpreter in a trace, the last one with the code that passes."""
    failing_share: float = 0.5
    direct_share: float = 0.0
    """Of traces that do not call the tool on offer."""
    plain_share: float = 0.0
    """Of traces whose prompt offers no tool."""
    learn_failures: bool = False
    seed: int = 0
    sandbox_url: str | None = None
    concurrency: int = 0
    """Programs at a time in each sandbox; 0 = twice the number of cores."""


@dataclass(kw_only=True)
class RepairReport:
    """What was read, tried and written."""

    problems: int = 0
    samples: Counter[str] = field(default_factory=Counter)
    """Counts of `Samples`."""
    attempts: Counter[str] = field(default_factory=Counter)
    """The model's own distinct codes by verdict."""
    references: Counter[str] = field(default_factory=Counter)
    """References that were run, by verdict."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Problems without a trace, by reason."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Traces that were not written, by reason."""
    by_attempts: Counter[int] = field(default_factory=Counter)
    """Traces by number of calls, 0 = direct."""
    plain: int = 0
    """Traces whose prompt offers no tool."""
    by_last_code: Counter[str] = field(default_factory=Counter)
    """Traces by where their last code is from: own, reference."""
    mended_by: Counter[str] = field(default_factory=Counter)
    """The same of those with a failure."""
    failures: Counter[str] = field(default_factory=Counter)
    """Failing attempts in the traces: the error's name, or `wrong`."""
    problems_with_traces: int = 0
    traces: int = 0
    seconds: float = 0.0


def make_repairs(
    options: RepairOptions, *, on_attempt: Callable[[str], None] = lambda verdict: None
) -> RepairReport:
    """Run everything, write the traces and say what they are; DataError where there is no trace at all.

    What an earlier start has tried, which was stopped before it wrote its traces, is not run again.
    """
    started = time.perf_counter()
    if options.direct_share + options.plain_share > 1:
        raise ConfigError(
            f"--direct-share {options.direct_share} and --plain-share {options.plain_share} are more than all traces"
        )
    if options.out.is_dir():
        raise ConfigError(
            f"--out {options.out} is a folder: name a file, such as {options.out / 'traces.parquet'}"
        )
    read = {"--samples": options.samples, "--tools": [options.tools] if options.tools else []}
    journal = journal_path(options.out)
    keep_inputs({"--out": options.out, "the journal of --out": journal}, [options.problems], read)
    problems = read_problems(options.problems)
    tool_name, settings = tool_of(problems.values(), options.tools)
    samples = read_samples(options.samples, problems)
    with AttemptJournal(journal) as attempts:
        tried = asyncio.run(
            try_all(
                list(problems.values()),
                samples.codes,
                settings,
                attempts,
                sandbox_url=options.sandbox_url,
                concurrency=options.concurrency,
                on_attempt=on_attempt,
            )
        )
        report = _write(tried, samples, tool_name, options)
        attempts.remove()
    report.problems = len(problems)
    report.seconds = time.perf_counter() - started
    return report


def _write(
    tried: Sequence[TriedProblem], samples: Samples, tool_name: str, options: RepairOptions
) -> RepairReport:
    report = RepairReport(samples=samples.counts)
    _count(tried, report)
    traces = []
    for sketch in _chosen(tried, options):
        rng = random.Random(f"words/{options.seed}/{sketch.problem.problem_id}/{sketch.attempts[0].code}")
        messages = write_messages(sketch, tool_name, rng, learn_failures=options.learn_failures)
        if reason := reason_to_drop(sketch, messages):
            report.dropped[reason] += 1
        else:
            traces.append((sketch, messages))
    if not traces:
        why = report.skipped + report.dropped
        reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common())
        raise DataError(
            f"{options.problems}: no trace could be made ({reasons}); {options.out} is not written"
            f"{set_aside(options.out)}"
        )
    write_traces([_row(*trace, report) for trace in traces], options.out, further=_COLUMNS)
    report.traces = len(traces)
    report.problems_with_traces = len({sketch.problem.problem_id for sketch, _ in traces})
    return report


def read_problems(path: Path) -> dict[str, Problem]:
    """The rows of one file (or its shards) by problem_id; DataError unless all are of protocol tool, or of feedback."""
    if path.is_dir():
        raise ConfigError(
            f"--problems {path} is a folder with every split: name one file, such as train.parquet"
        )
    problems: dict[str, Problem] = {}
    for file in resolve_prepared(path):
        for number, row in enumerate(iter_rows(file)):
            problem = read_problem(row, f"{file}, row {number}")
            if problem.agent_name not in (AGENT_NAME, FEEDBACK_AGENT_NAME):
                raise DataError(
                    f"{file}, row {number} has agent_name {problem.agent_name!r}: its prompt offers no tool; make "
                    "the file with `verl-coder data prepare ... --protocol tool`, or feedback"
                )
            if problem.agent_name != next(iter(problems.values()), problem).agent_name:
                raise DataError(f"{file}, row {number} has another agent_name than those before it")
            if problem.problem_id in problems:
                raise DataError(f"{file}, row {number} repeats the problem_id {problem.problem_id!r}")
            problems[problem.problem_id] = problem
    return problems


def _count(tried: Sequence[TriedProblem], report: RepairReport) -> None:
    for one in tried:
        report.attempts.update(attempt.verdict for attempt in one.attempts)
        if one.reference:
            report.references[one.reference.verdict] += 1
        if one.skipped:
            report.skipped[one.skipped] += 1
        elif not one.right:
            why = f"the reference: {one.reference.verdict}" if one.reference else "no reference"
            report.skipped[f"no sample passes, {why}"] += 1


def _chosen(tried: Sequence[TriedProblem], options: RepairOptions) -> list[Sketch]:
    """The sketches to write, by problem in the order of the file."""
    seed = options.seed
    offers = [
        sketches(one, random.Random(f"{seed}/{one.problem.problem_id}"), max_attempts=options.max_attempts)
        for one in tried
        if one.right
    ]
    rng = random.Random(f"choice/{seed}")
    chosen = choose(offers, rng, per_problem=options.per_problem, failing_share=options.failing_share)
    order = {one.problem.problem_id: place for place, one in enumerate(tried)}
    chosen.sort(key=lambda sketch: order[sketch.problem.problem_id])
    return make_direct(chosen, rng, share=options.direct_share, plain_share=options.plain_share)


def reason_to_drop(sketch: Sketch, messages: Sequence[Message]) -> str:
    """Why a conversation is no trace; empty where it is one.

    Its last code has passed the grader: what remains is that a rollout of these turns is graded by that code.
    """
    if not all(quotable(attempt.told) for attempt in sketch.attempts if not sketch.direct):
        return "an output holds marks of a conversation"
    answer = answer_code(decoded_response(messages), sketch.problem.tests)
    if answer is None or answer.strip("\n").rstrip() != sketch.attempts[-1].code:
        return "the grader finds another code in it"
    return ""


def _row(sketch: Sketch, messages: Sequence[Message], report: RepairReport) -> dict[str, object]:
    """A row of the file, counted in the report."""
    calls = 0 if sketch.direct else len(sketch.attempts)
    failures = [failure_name(attempt) for attempt in sketch.attempts[:-1]]
    origin = sketch.attempts[-1].origin
    report.by_attempts[calls] += 1
    report.plain += sketch.plain
    report.by_last_code[origin] += 1
    report.failures.update(failures)
    if failures:
        report.mended_by[origin] += 1
    return {
        "problem_id": sketch.problem.problem_id,
        "messages": list(messages),
        "source": SOURCE,
        "agent_name": PLAIN_AGENT_NAME if sketch.plain else sketch.problem.agent_name,
        "attempts": calls,
        "failures": failures,
        "last_code": origin,
    }

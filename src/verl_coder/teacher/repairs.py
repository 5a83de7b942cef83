"""Traces of a model that never calls the tool: its own samples tried, mended and answered, without a teacher."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence

from verl_coder.problems import Problem
from verl_coder.protocols import find_protocol
from verl_coder.sandbox.opening import open_sandbox
from verl_coder.teacher.attempt_journal import AttemptJournal, journal_path
from verl_coder.teacher.attempts import AttemptRunner, TriedProblem, try_all
from verl_coder.teacher.choice import Sketch, choose, make_direct, sketches
from verl_coder.teacher.playing import all_calls
from verl_coder.teacher.repair_report import RepairOptions, RepairReport
from verl_coder.teacher.repair_rows import ChosenTrace, write_rows
from verl_coder.teacher.samples import Samples, read_samples
from verl_coder.teacher.tasks import own_protocol, read_problems
from verl_coder.teacher.trace_tools import TraceTools, tools_of


def make_repairs(
    options: RepairOptions, *, on_attempt: Callable[[str], None] = lambda verdict: None
) -> RepairReport:
    """Run everything, write the traces and say what they are; DataError where there is no trace at all.

    What an earlier start has tried, which was stopped before it wrote its traces, is not run again.
    """
    started = time.perf_counter()
    options.check()
    problems = read_problems(options.problems, plain=options.plain_share > 0)
    protocols = (own_protocol(problem) for problem in problems.values())
    tools = tools_of(next(protocols, None) or find_protocol("tool"), options.tools)
    samples = read_samples(options.samples, problems)
    report = RepairReport(samples=samples.counts)
    with AttemptJournal(journal_path(options.out)) as attempts:
        tried, played = asyncio.run(
            _try_and_play(list(problems.values()), samples, tools, options, report, attempts, on_attempt)
        )
        _count(tried, report)
        write_rows(played, report, options)
        attempts.remove()
    report.problems = len(problems)
    report.seconds = time.perf_counter() - started
    return report


async def _try_and_play(
    problems: Sequence[Problem],
    samples: Samples,
    tools: TraceTools,
    options: RepairOptions,
    report: RepairReport,
    journal: AttemptJournal,
    on_attempt: Callable[[str], None],
) -> tuple[list[TriedProblem], list[ChosenTrace]]:
    """Every attempt, and the chosen sketches with their calls."""
    concurrency = options.concurrency or 2 * len(os.sched_getaffinity(0))
    async with open_sandbox(options.sandbox_url, concurrency, tools_url=tools.settings.sandbox_url) as opened:
        sandbox, places = opened
        runner = AttemptRunner(tools=tools, sandbox=sandbox, journal=journal, on_attempt=on_attempt)
        tried = await try_all(problems, samples.codes, runner)
        sketches = _chosen(tried, options, report)
        calls = await all_calls(sketches, tools, sandbox, concurrency=places)
    return tried, list(zip(sketches, calls, strict=True))


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


def _chosen(tried: Sequence[TriedProblem], options: RepairOptions, report: RepairReport) -> list[Sketch]:
    """The sketches to write, by problem in the order of the file."""
    seed = options.seed
    candidates = [
        sketches(
            one,
            random.Random(f"{seed}/{one.problem.problem_id}"),
            max_attempts=options.max_attempts,
            own_first_tries=options.own_first_tries,
            own_mends=options.own_mends,
        )
        for one in tried
        if one.right
    ]
    if nothing := sum(not firsts and not repairs for firsts, repairs in candidates):
        more = "" if options.own_mends else ", and no failing sample is there for it to mend"
        report.skipped[f"only the reference passes{more}"] += nothing
    rng = random.Random(f"choice/{seed}")
    chosen = choose(candidates, rng, per_problem=options.per_problem, failing_share=options.failing_share)
    order = {one.problem.problem_id: place for place, one in enumerate(tried)}
    chosen.sort(key=lambda sketch: order[sketch.problem.problem_id])
    made = make_direct(
        chosen,
        rng,
        share=options.direct_share,
        plain_share=options.plain_share,
        own_first_tries=options.own_first_tries,
    )
    if repeated := len(chosen) - len(made):
        more = ", or it is the reference" if options.own_first_tries else ""
        report.dropped[f"another trace answers with its code at once{more}"] += repeated
    return made

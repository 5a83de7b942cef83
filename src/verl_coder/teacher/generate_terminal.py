"""What `verl-coder teacher generate` shows: the first prompt, how it goes, what came of it."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from verl_coder.consoles import PlainConsole
from verl_coder.errors import DataError
from verl_coder.teacher.connection import probe
from verl_coder.teacher.generate import GenerateReport, Hooks, generate
from verl_coder.teacher.journal import Journal
from verl_coder.teacher.options import GenerateOptions
from verl_coder.teacher.synthesis import TeacherSample
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.words import counted

_LINE_EVERY_S = 15.0
_NAMED = 5
"""Refused problems that are named; the file of statistics has all."""


def show_generate(options: GenerateOptions) -> GenerateReport:
    """Ask with a progress line, then say what came of it; DataError where no sample is a trace."""
    console = PlainConsole(stderr=True)
    with _progress(console) as (on_sample, on_tick):
        hooks = Hooks(on_plan=_plan_printer(options, console), on_sample=on_sample, on_tick=on_tick)
        report = generate(options, hooks)
    if report.interrupted:
        known = report.known_answers + report.answers
        _print(
            console,
            f"stopped by {report.stopped}: {counted(known, 'answer is', 'answers are')} in {options.journal_path}; the "
            "same command goes on",
        )
        return report
    console.print(statistics_table(report))
    for note in notes(report, options):
        _print(console, note)
    if not report.kept:
        reasons = ", ".join(f"{count} {name}" for name, count in report.dropped.most_common())
        raise DataError(
            f"no sample is a trace ({reasons or 'none was answered'}): {options.out} is not written{report.set_aside}; "
            f"the answers are in {options.journal_path}"
        )
    _print(console, f"{options.out}: {counted(len(report.kept), 'trace')}, {report.seconds:.1f} s")
    return report


def show_connection(options: GenerateOptions) -> None:
    """One small question to each server; the first thing that is wrong ends it as an error."""
    console = PlainConsole()
    for found in asyncio.run(probe(options)):
        models = "no list of models" if found.models is None else ", ".join(found.models)
        _print(console, f"{found.url}: {models}")
        _print(
            console,
            f"  answered {found.answer[:80]!r}, {counted(found.completion_tokens, 'token')} in {found.seconds:.1f} s",
        )
        _print(console, f"  thinking: {_where(found.thinking_field, found.thinking, options)}")


def statistics_table(report: GenerateReport) -> Table:
    """The report as two columns."""
    numbers = report.statistics()
    table = Table(show_header=False)
    budget = report.budget
    dropped = [(f"  {name}", count) for name, count in report.dropped.most_common()]
    rows: list[tuple[str, Any]] = [
        ("problems", f"{numbers['problems']}, {numbers['problems_passed']} of them passed by a sample"),
        ("samples", f"{numbers['samples']} of {numbers['samples_wanted']}"),
        ("  with thinking", numbers["with_thinking"]),
        ("  with calls of the tool", f"{numbers['with_calls']}, {counted(numbers['calls'], 'call')}"),
        ("  with code", numbers["with_code"]),
        ("    valid Python", numbers["valid_python"]),
        ("      passing", numbers["passing"]),
        ("  parse failures", numbers["parse_failures"]),
        ("traces kept", numbers["traces"]),
        ("samples dropped", sum(report.dropped.values())),
        *dropped,
        ("answers", f"{numbers['answers']}, {numbers['answers_of_earlier_starts']} of earlier starts"),
        ("attempts that failed", ", ".join(f"{n} {name}" for name, n in report.faults.items()) or "0"),
        ("tokens", f"{budget.prompt_tokens} of prompts, {budget.completion_tokens} of answers"),
        ("cost", f"{budget.cost:.4f}" if budget.price_in or budget.price_out else "no prices given"),
        ("requests/s", numbers["requests_per_s"] or "-"),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    return table


def notes(report: GenerateReport, options: GenerateOptions) -> list[str]:
    """What the user should know beside the numbers, a line each."""
    found = []
    if report.torn:
        found.append("the last line of the journal was torn: that answer was asked again")
    if report.unreadable:
        lines = counted(report.unreadable, "line of the journal is", "lines of the journal are")
        found.append(f"{lines} no entry of one, and left as it was: what stood there was asked again")
    if report.stopped:
        found.append(f"{report.stopped}; a larger budget goes on from here")
    fields = {sample.thinking for sample in report.samples if sample.thinking}
    if "inline" in fields and options.thinking == "on":
        found.append(
            "the server has no reasoning parser: the thinking was taken from the text, up to </think> "
            "(vllm serve --reasoning-parser qwen3 separates the two)"
        )
    if options.thinking == "on" and report.samples and not fields:
        found.append(
            "no answer has thinking: the model does not think (--thinking off says so), or does not say it"
        )
    if report.repeated:
        found.append(
            f"{counted(report.repeated, 'problem asks', 'problems ask')} word for word the same as one before: left out"
        )
    if report.refused:
        named = [f"{name} ({why})" for name, why in list(report.refused.items())[:_NAMED]]
        more = f", and {len(report.refused) - _NAMED} more" if len(report.refused) > _NAMED else ""
        found.append(
            f"the server refuses {counted(len(report.refused), 'problem')}: {', '.join(named)}{more}"
        )
    if unknown := report.budget.without_usage:
        found.append(
            f"{counted(unknown, 'answer')} did not say their tokens (no `usage`): tokens and cost are without them"
        )
    if wrong := sum(not sample.passed for sample in report.kept):
        found.append(
            f"{counted(wrong, 'trace does', 'traces do')} not pass every hidden test (--keep {options.keep})"
        )
    cut = sum(sample.dropped == "length" for sample in report.samples)
    if cut:
        found.append(
            f"{counted(cut, 'answer was', 'answers were')} cut at --max-tokens {options.max_tokens} and are asked again"
        )
    return found


def _plan_printer(options: GenerateOptions, console: Console) -> Any:
    def on_plan(tasks: Sequence[TeacherTask], request: dict[str, Any], journal: Journal) -> None:
        settings = {name: value for name, value in request.items() if name not in ("messages", "tools")}
        _print(console, f"first request, of {tasks[0].problem.problem_id}: {json.dumps(settings)}")
        for tool in request.get("tools", ()):
            _print(console, f"  tool: {json.dumps(tool['function'])}")
        for message in request["messages"]:
            _print(console, f"--- {message['role']}")
            _print(console, message["content"])
        samples = len(tasks) * options.num_samples
        _print(
            console,
            f"--- {counted(len(tasks), 'problem')} x {counted(options.num_samples, 'sample')} = {samples:,}, "
            f"{counted(options.in_flight, 'request')} in flight at {', '.join(options.base_url)}; "
            f"{counted(len(journal), 'answer is', 'answers are')} in {options.journal_path}",
        )

    return on_plan


@contextmanager
def _progress(console: Console) -> Iterator[Any]:
    """A bar on a terminal, a line now and then elsewhere."""
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    shows = console.is_terminal and not console.is_dumb_terminal  # a dumb one would get an empty line instead
    with Progress(*columns, console=console, transient=True, disable=not shows) as progress:
        bar = progress.add_task("", total=None, visible=False)
        counts = {"passing": 0, "dropped": 0}
        last = time.monotonic()

        def on_sample(sample: TeacherSample, report: GenerateReport) -> None:
            counts["passing"] += sample.passed
            counts["dropped"] += bool(sample.dropped)
            on_tick(report)

        def on_tick(report: GenerateReport) -> None:
            nonlocal last
            text = progress_text(counts, report)
            progress.update(
                bar, total=report.wanted, completed=len(report.samples), description=text, visible=True
            )
            if not console.is_terminal and time.monotonic() - last >= _LINE_EVERY_S:
                last = time.monotonic()
                _print(console, f"{len(report.samples)}/{report.wanted}  {text}")

        yield on_sample, on_tick


def progress_text(counts: dict[str, int], report: GenerateReport) -> str:
    """The counts so far, the rate, and what is left."""
    parts = [f"{counts['passing']} passing, {counts['dropped']} without a verdict"]
    if report.answers and report.seconds:
        parts.append(f"{report.answers / report.seconds:.1f} answers/s")
    return ", ".join([*parts, *([report.left] if report.left else [])])


def _where(field: str, thinking: str, options: GenerateOptions) -> str:
    if field == "inline":
        return (
            f"{counted(len(thinking), 'character')} in the text, up to </think>: the server has no reasoning parser "
            "(vllm serve --reasoning-parser qwen3 separates the two); it is read all the same"
        )
    if field:
        return f"{counted(len(thinking), 'character')} in `{field}`"
    return "none" if options.thinking != "on" else "none, although it was asked for: the model does not think"


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)

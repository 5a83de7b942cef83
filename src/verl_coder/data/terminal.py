"""What `prepare`, `verify` and `mix` show while they work and when they are done."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from verl_coder.consoles import PlainConsole
from verl_coder.data.dataset import Dataset
from verl_coder.data.mix import MixOptions, MixResult, mix
from verl_coder.data.mix_inputs import HELD_OUT
from verl_coder.data.prepare import PrepareOptions, PrepareResult, prepare
from verl_coder.data.provenance import Rejection, count_reasons
from verl_coder.data.recheck import RecheckResult, recheck
from verl_coder.data.sources import CUT_OFF
from verl_coder.data.verification import VerifyOptions
from verl_coder.words import counted, one_line

_SHOWN_REJECTIONS = 5


@contextmanager
def counting_progress(title: str, console: Console) -> Iterator[Callable[[str], None]]:
    """A line that counts rows by what became of them; call what is yielded once a row."""
    counts: Counter[str] = Counter()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title)

        def on_row(status: str) -> None:
            counts[status] += 1
            text = ", ".join(f"{count} {name}" for name, count in counts.most_common())
            progress.update(task, description=f"{title}: {text}")

        yield on_row


def show_prepare(dataset: Dataset, options: PrepareOptions) -> PrepareResult:
    """Prepare with a progress line, then say what was written and what was rejected."""
    console = PlainConsole(stderr=True)
    with counting_progress(dataset.name, console) as on_row:
        result = prepare(dataset, options, on_row=on_row)
    written = sum(file.rows for file in result.files)
    console.print(f"{dataset.name}: {written} of {result.rows_read} records, {result.wall_s:.1f} s")
    for file in result.files:
        console.print(f"  {file.path}  {counted(file.rows, 'row')}", highlight=False, soft_wrap=True)
    show_removed(result.removed, console)
    if options.train_time_limit_s is not None:
        rows = counted(result.time_limited, "training row has", "training rows have")
        console.print(f"  {rows} the limit of {options.train_time_limit_s:g} s for a test", highlight=False)
    if options.train_stubs:
        rows = counted(result.stubs, "training row is", "training rows are")
        console.print(f"  {rows} posed as a function's head with a docstring", highlight=False)
    if result.trivial:
        console.print(
            f"  {counted(len(result.trivial), 'problem has', 'problems have')} tests that a constant passes (card.json)"
        )
    show_false_examples(result.false_examples, console)
    cut_off = [one for one in result.rejections if one.reason == CUT_OFF]
    warnings = [f"{one.place}: {one.message}; what stands behind it is lost: get it again" for one in cut_off]
    warnings += [
        f"{path} was not read: nothing names it one of the dataset's files" for path in result.passed_over
    ]
    for warning in warnings:
        console.print(f"  warning: {warning}", highlight=False, soft_wrap=True)
    show_rejections(result.rejections, str(options.out / "rejected.parquet"), console)
    return result


def show_removed(paths: Sequence[Path], console: Console) -> None:
    """The files of an earlier run that are no more."""
    for path in paths:
        console.print(f"  removed {path}, of an earlier run", highlight=False, soft_wrap=True)


def show_false_examples(found: Mapping[str, Sequence[str]], console: Console) -> None:
    """Problems whose prompt has lost visible tests, with the first few of these."""
    if not found:
        return
    problems = counted(len(found), "problem shows", "problems show")
    console.print(f"  {problems} tests that its reference fails: left out of the prompt (card.json)")
    for name, tests in list(found.items())[:_SHOWN_REJECTIONS]:
        console.print(f"    {name}: {one_line(tests[0])[:160]}", highlight=False, soft_wrap=True)


def show_rejections(rejections: list[Rejection], path: str, console: Console) -> None:
    """Counts by reason, and the first few with their places."""
    if not rejections:
        return
    counts = ", ".join(f"{count} {reason}" for reason, count in count_reasons(rejections).most_common())
    console.print(f"  rejected: {counts}  ({path})", highlight=False, soft_wrap=True)
    for rejection in rejections[:_SHOWN_REJECTIONS]:
        name = f" {rejection.problem_id}" if rejection.problem_id else ""
        line = f"    {rejection.place}{name}: {rejection.reason}: {rejection.message[:160]}"
        console.print(line, highlight=False, soft_wrap=True)


def show_recheck(paths: Sequence[Path], out: Path, options: VerifyOptions) -> RecheckResult:
    """Verify files with a progress line, then say what was kept."""
    console = PlainConsole(stderr=True)
    with counting_progress("verify", console) as on_row:
        result = recheck(paths, out, options, on_row=on_row)
    kept = sum(file.rows for file in result.files)
    console.print(f"verify: {kept} of {result.rows_read} references pass, {result.wall_s:.1f} s")
    show_removed(result.removed, console)
    if result.trivial:
        names = ", ".join(list(result.trivial)[:10])
        console.print(
            f"  {counted(len(result.trivial), 'problem has', 'problems have')} tests that a constant passes: {names}"
        )
    show_false_examples(result.false_examples, console)
    show_rejections(result.rejections, str(out / "rejected.parquet"), console)
    return result


def show_mix(options: MixOptions) -> MixResult:
    """Mix, then say what was written and which problems repeat others."""
    console = PlainConsole(stderr=True)
    result = mix(options)
    for file in result.files:
        console.print(f"  {file.path}  {counted(file.rows, 'row')}", highlight=False, soft_wrap=True)
    show_removed(result.removed, console)
    counts = ", ".join(f"{name} {count}" for name, count in sorted(result.rows.items()))
    console.print(f"mix: {counts}; {result.wall_s:.1f} s", highlight=False, soft_wrap=True)
    if options.pass_rates:
        console.print(f"  {counted(result.measured, 'row has', 'rows have')} a measured difficulty")
    if options.train_pass_rate:
        rows = counted(result.outside, "training row has", "training rows have")
        console.print(f"  {rows} no pass rate in {options.train_pass_rate}: left out", highlight=False)
    for name in result.not_mixed:
        console.print(
            f"  warning: {name} has no train or validation file: nothing of it is in the mix", highlight=False
        )
    if result.held_out:
        places = ", ".join(map(str, result.held_out))
        console.print(f"  compared with {places}", highlight=False, soft_wrap=True)
    else:
        console.print(
            "  warning: compared with no held-out problem: --against names files of them, or prepare the test split of "
            f"{', '.join(HELD_OUT)} under {options.data}",
            highlight=False,
            soft_wrap=True,
        )
    if result.overlaps:
        verb = "dropped" if options.decontaminate else "kept; --decontaminate drops them"
        within = sum(overlap.against == "mix" for overlap in result.overlaps)
        held_out = counted(len(result.overlaps) - within, "repeats", "repeat")
        of_held_out = f", {held_out} a held-out problem" if result.held_out else ""
        console.print(
            f"  {counted(within, 'row repeats', 'rows repeat')} another{of_held_out}: {verb} "
            f"({options.out / 'overlaps.jsonl'})",
            highlight=False,
            soft_wrap=True,
        )
    return result

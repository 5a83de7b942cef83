"""What `verl-coder teacher repairs` shows while it works and when it is done."""

from collections import Counter
from typing import Any

from rich.table import Table

from verl_coder.consoles import PlainConsole
from verl_coder.data.terminal import counting_progress
from verl_coder.teacher.repair_report import RepairOptions, RepairReport
from verl_coder.teacher.repairs import make_repairs
from verl_coder.words import counted

_SHOWN_FAILURES = 8


def show_repairs(options: RepairOptions) -> RepairReport:
    """Make the traces with a progress line, then say what they are."""
    console = PlainConsole(stderr=True)
    with counting_progress("attempts", console) as on_attempt:
        report = make_repairs(options, on_attempt=on_attempt)
    console.print(repair_table(report))
    console.print(
        f"{options.out}: {counted(report.traces, 'trace')}, {report.seconds:.1f} s",
        soft_wrap=True,
        highlight=False,
    )
    return report


def repair_table(report: RepairReport) -> Table:
    """The report as two columns."""
    samples, attempts = report.samples, report.attempts
    table = Table(show_header=False)
    rows: list[tuple[str, Any]] = [
        ("problems", f"{report.problems}, {report.problems_with_traces} of them with traces"),
        ("samples read", samples["read"]),
        ("  of other problems, ignored", samples["unknown_problem"]),
        ("  without usable code", samples["without_code"]),
        ("  repeating another", samples["repeated"]),
        ("  with code, distinct", attempts.total()),
        ("    passing", attempts["passed"]),
        ("    failing on the examples", attempts["failed"]),
        ("    hidden tests fail, not used", attempts["hidden_failed"]),
        ("    neither ok nor wrong, not used", attempts["unclear"]),
        ("references run", _listed(report.references)),
        ("traces", report.traces),
        *((_calls(count), report.by_attempts[count]) for count in sorted(report.by_attempts)),
        *([("  with a look by the debugger", report.debugged)] if report.debugged else []),
        *([("  offered no tool", report.plain)] if report.plain else []),
        ("  last code", _listed(report.by_last_code)),
        ("  repairs, last code", _listed(report.mended_by)),
        ("  failures in them", _listed(report.failures, _SHOWN_FAILURES)),
        ("traces dropped", _listed(report.dropped)),
        ("problems skipped", _listed(report.skipped)),
        ("tokens", "unknown: the update leaves out what is too long"),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    return table


def _calls(count: int) -> str:
    return "  without the tool" if count == 0 else f"  of {count} attempt{'s' if count > 1 else ''}"


def _listed(counts: Counter[str], most: int | None = None) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common(most)) or "0"

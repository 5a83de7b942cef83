"""`verl-coder data inspect` on the terminal: one table, then a few rows as the model sees them."""

from collections import Counter
from collections.abc import Sequence
from statistics import quantiles

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from verl_coder.consoles import print_whole, printable
from verl_coder.data.statistics import Statistics
from verl_coder.problems import Problem
from verl_coder.words import counted

_MAX_MESSAGE_CHARS = 2000


def show_statistics(statistics: Statistics, console: Console, *, max_prompt_tokens: int | None) -> None:
    """Print counts, distributions and the example rows."""
    console.print(counted(statistics.rows, "row"))
    for title, counter in (
        ("dataset", statistics.sources),
        ("split", statistics.splits),
        ("difficulty", statistics.difficulties),
        ("test style", statistics.styles),
        ("agent loop", statistics.agents),
    ):
        console.print(f"  {title:12} {describe(counter)}", highlight=False)
    table = Table("per row", "min", "10%", "median", "90%", "max", box=None)
    for title, values in lengths(statistics):
        if values:
            table.add_row(title, *(f"{value:.5g}" for value in summary(values)))
    print_whole(console, table)
    if statistics.without_reference:
        console.print(
            f"  {counted(statistics.without_reference, 'row has', 'rows have')} no reference solution"
        )
    if max_prompt_tokens is not None and statistics.prompt_tokens:
        console.print(
            f"  {counted(statistics.over_long, 'prompt is', 'prompts are')} longer than {max_prompt_tokens} tokens"
        )
    for problem in statistics.examples:
        console.print(render(problem))


def lengths(statistics: Statistics) -> list[tuple[str, Sequence[float]]]:
    """(title, values) of every distribution, empty ones too."""
    return [
        ("prompt, tokens", statistics.prompt_tokens),
        ("prompt, characters", statistics.prompt_chars),
        ("tests", statistics.tests),
        ("tests, KB", statistics.test_kb),
        ("reference, lines", statistics.reference_lines),
        ("measured pass rate", statistics.pass_rates),
    ]


def summary(values: Sequence[float]) -> tuple[float, float, float, float, float]:
    """min, 10%, median, 90%, max."""
    if len(values) == 1:
        return (values[0],) * 5
    tenths = quantiles(values, n=10, method="inclusive")
    return min(values), tenths[0], tenths[4], tenths[8], max(values)


def describe(counter: Counter[str]) -> str:
    """`mbpp 974, apps 5`."""
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


def render(problem: Problem) -> Panel:
    """One row: its messages, the head of its tests and its reference."""
    parts = [(message["role"], "", _cut(message["content"])) for message in problem.prompt]
    parts.append(("hidden tests", f" ({problem.tests.style})", _cut(problem.tests.to_json(), 600)))
    parts.append(("reference solution", "", _cut(problem.reference_solution, 1000)))
    texts = [Text.assemble((head, "bold"), printable(f"{more}\n{content}")) for head, more, content in parts]
    title = printable(f"{problem.problem_id} · {problem.split} · {problem.difficulty}")
    return Panel(Text("\n\n").join(texts), title=Text(title), title_align="left")


def _cut(text: str, limit: int = _MAX_MESSAGE_CHARS) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … (+{counted(len(text) - limit, 'character')})"

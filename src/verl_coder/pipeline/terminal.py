"""What a pipeline shows: which task, since when, what its command says of itself, and what all of it came to."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from verl_coder.consoles import print_whole
from verl_coder.pipeline.process import last_line
from verl_coder.pipeline.scores import Scores
from verl_coder.pipeline.tasks import Workplace

_LINE_EVERY_S = 15.0
_WIDTH = 18


def say(console: Console, text: str) -> None:
    """A line, as it is."""
    console.print(text, highlight=False, soft_wrap=True)


def say_task(console: Console, name: str, word: str, text: str) -> None:
    """`sft               run   settings changed: epochs 1 -> 2`."""
    say(console, f"{name:<{_WIDTH}}{word:<6}{text}")


def duration(seconds: float) -> str:
    """`12 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def task_progress(console: Console, name: str, log: Path) -> Iterator[Callable[[], None]]:
    """Call what is yielded often: a line that lives on a terminal, elsewhere a new one now and then."""
    begun = time.monotonic()
    start = log.stat().st_size if log.is_file() else 0
    if console.is_terminal:
        with console.status(f"{name}: starting") as status:

            def live() -> None:
                text = escape(last_line(log, start))[: max(console.width - 40, 20)]
                status.update(f"{name}  {duration(time.monotonic() - begun)}  {text}")

            yield live
        return
    shown, shown_at = "", begun

    def lines() -> None:
        nonlocal shown, shown_at
        now = time.monotonic()
        if now - shown_at < _LINE_EVERY_S:
            return
        text = last_line(log, start)
        if text != shown:
            shown, shown_at = text, now
            say_task(console, name, "", f"{duration(now - begun)}: {text}")

    yield lines


def show_end(console: Console, place: Workplace, rows: Sequence[dict[str, Any]], scores: Scores) -> None:
    """The table of the tasks, how good the models are, and where everything is."""
    table = Table()
    for title in ("task", "this time", "seconds in all", "files"):
        table.add_column(title, justify="right" if title == "seconds in all" else "left")
    for row in rows:
        table.add_row(row["task"], row["did"], f"{row['seconds']:.0f}", row["digest"])
    print_whole(console, table)
    for line in scores.lines():
        say(console, line)
    if place.config.train is not None and place.trained_model.is_dir():
        say(console, f"model: {place.trained_model}")
    page = place.report / "index.html"
    if page.is_file():
        say(console, f"page: {page.as_uri()}")

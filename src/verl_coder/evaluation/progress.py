"""An evaluation while it runs: how far it is, the score so far, tokens a second; lines where there is no terminal."""

import asyncio
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.table import Column

from verl_coder.evaluation.clock import WorkClock
from verl_coder.evaluation.samples import EvaluationSample
from verl_coder.time_left import Pace

_LINE_S = 20.0
_TICK_S = 1.0


class EvaluationProgress:
    """Shows `total` samples, `done` of them from an earlier start."""

    def __init__(self, console: Console, total: int, done: dict[tuple[str, int], EvaluationSample]) -> None:
        self._console = console
        self._total = total
        self._solved = {key: sample.solved for key, sample in done.items()}
        self._passed = sum(self._solved.values())
        self._tokens = 0
        self.clock: WorkClock | None = None
        self._pace = Pace(len(done))
        self._started = time.monotonic()
        self._line_at = self._started
        columns: list[ProgressColumn] = [
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TextColumn("{task.completed}/{task.total}  {task.description}", markup=False),
        ]
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, expand=True)
        self._task = self._bar.add_task("loading", total=total, completed=len(done))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def add(self, sample: EvaluationSample) -> None:
        """A sample is graded, or graded again."""
        if sample.key not in self._solved:
            self._tokens += sample.generated_tokens
        self._passed += sample.solved - self._solved.get(sample.key, False)
        self._solved[sample.key] = sample.solved
        self._pace.see(len(self._solved))
        self._tell()

    async def tell_for_ever(self) -> None:
        """While nothing ends, too: how many are open, and for how long."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._tell()

    def _tell(self) -> None:
        text = self._text()
        self._bar.update(self._task, completed=len(self._solved), description=text)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._line_at > _LINE_S:
            self._line_at = now
            self._console.print(f"{len(self._solved)}/{self._total}  {text}", highlight=False, soft_wrap=True)

    def _text(self) -> str:
        rate = self._passed / max(len(self._solved), 1)
        seconds = max(time.monotonic() - self._started, 1e-9)
        text = f"pass@1 so far {rate:.3f}  {self._tokens / seconds:.0f} tokens/s"
        if self.clock is not None:
            clock, left = self.clock, self._total - len(self._solved)
            text += f"  in work {clock.generating}, grading {clock.grading}"
            waiting = left > clock.generating + clock.grading
            words = self._pace.words(self._total, longest_s=clock.longest_s, waiting=waiting)
            text += f"  {words}" if words else ""
        return text

"""The terminal's view of a run: a bar and one line per step, read from the run's files."""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from verl_coder.launch.summary import pass_rate
from verl_coder.run.notices import NoticeReader
from verl_coder.run.phase import START_PARTS, STARTING, TRAINING, Phase, read_history, starting
from verl_coder.run.run_dir import RunDir
from verl_coder.time_left import Pace, duration

LINE_EVERY_S = 20.0
"""How often a phase that goes on tells where it is, in a log or a pipe, where no bar can move."""


class PhaseTeller:
    """Where a phase is, as lines now and then: what, n of m, for how long, how long still."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        every_s: float = LINE_EVERY_S,
        history: Mapping[str, float] | None = None,
    ) -> None:
        """`history`: how long each part took in an earlier start of this run (phase_history.json)."""
        self._now, self._every_s, self._history = now, every_s, history or {}
        self._key = ""
        self._began = self._told = now()
        self._pace = Pace(now=now)
        self._next_part = len(START_PARTS)
        self._counts: tuple[str, int] | None = None
        self._took: dict[tuple[str, int], float] = {}
        """What of how many -> the seconds of the last one that was seen from its beginning to its end."""

    def lines(self, phase: Phase) -> list[str]:
        """The lines that are due. A part of the start is told as it begins; one too short to be seen, with the next."""
        now = self._now()
        if phase.key != self._key:
            if self._counts is not None:
                self._took[self._counts] = now - self._began
            self._counts = (phase.key, phase.of) if phase.of and not phase.done else None
            self._key, self._began, self._told = phase.key, now, now
            self._pace = Pace(phase.done, self._now)
            if phase.phase != STARTING:
                return []
            unseen = START_PARTS[self._next_part : phase.done]
            self._next_part = phase.done + 1
            return [
                *(starting(part).describe() for part in unseen),
                phase.describe() + _after_comma(self.left_words(phase)),
            ]
        self._pace.see(phase.done)
        if now - self._told < self._every_s:
            return []
        self._told = now
        return [
            f"{phase.describe()}, for {duration(now - self._began)}" + _after_comma(self.left_words(phase))
        ]

    def left_words(self, phase: Phase) -> str:
        """How long the part, or the start, still takes by its history or its pace; empty where neither is known.

        Answers that are written side by side end in a bunch, so that the first ones say little of the others.
        """
        if phase.phase != STARTING:
            left = self._took.get((phase.key, phase.of), 0.0) - (self._now() - self._began)
            if left > 0:
                return f"about {duration(left)} left"
            return self._pace.words(phase.of) if phase.of else ""
        coming = [self._history.get(f"{STARTING}: {part}") for part in START_PARTS[phase.done :]]
        left = sum(seconds for seconds in coming if seconds is not None) - (self._now() - self._began)
        return f"about {duration(left)} left" if left > 0 else ""


def _after_comma(words: str) -> str:
    return f", {words}" if words else ""


class RunProgress:
    """Follows `phase.json` and `metrics.jsonl`; call `poll` now and then."""

    def __init__(self, run_dir: RunDir, console: Console, total_steps: int) -> None:
        self._run_dir = run_dir
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=total_steps, left="")
        self._part = self._bar.add_task("", total=None, visible=False, left="")
        self._teller = PhaseTeller(history=read_history(run_dir.phase_history))
        self._key = ""
        self._offset = run_dir.metrics.stat().st_size if run_dir.metrics.is_file() else 0
        self._total = total_steps
        self._notices = NoticeReader(run_dir.notices)
        self._seconds: deque[float] = deque(maxlen=20)

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def poll(self) -> None:
        """Show what is new since the last call."""
        for text in self._notices.new():
            self._bar.console.print(text, highlight=False, soft_wrap=True)
        phase = Phase.read(self._run_dir.phase)
        if phase is not None:
            self._show(phase)
        if not self._run_dir.metrics.is_file():
            return
        with self._run_dir.metrics.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                record = json.loads(line)
                if "timing_s/step" in record["data"]:
                    self._seconds.append(
                        record["data"]["timing_s/step"] + record["data"].get("timing_s/testing", 0.0)
                    )
                left_s = self._left_s(record["step"])
                self._bar.update(
                    self._task, left=f"about {duration(left_s)} left" if left_s is not None else ""
                )
                line_text = step_line(record["step"], record["data"], self._total, left_s)
                self._bar.console.print(line_text, highlight=False, soft_wrap=True)

    def _show(self, phase: Phase) -> None:
        """The bars on a terminal; lines where there is none."""
        if phase.phase != STARTING:
            self._total = phase.total
            done = phase.step - (1 if phase.phase == TRAINING else 0)
            self._bar.update(self._task, description=phase.phase, total=phase.total, completed=max(done, 0))
        if phase.key != self._key:
            self._key = phase.key
            self._bar.reset(
                self._part, total=phase.of or None, description=phase.part, visible=bool(phase.part)
            )
        lines = self._teller.lines(phase)
        left = self._teller.left_words(phase)
        self._bar.update(self._part, total=phase.of or None, completed=phase.place, left=left)
        for line in lines:
            if not self._bar.console.is_terminal:
                self._bar.console.print(line, highlight=False, soft_wrap=True)

    def _left_s(self, step: int) -> float | None:
        """Seconds left at the pace of the last steps, evaluations included."""
        if not self._seconds or step >= self._total:
            return None
        return (self._total - step) * sum(self._seconds) / len(self._seconds)


PHASES = {
    "timing_s/gen": "generate",
    "timing_s/old_log_prob": "log-probs",
    "timing_s/ref": "reference",
    "timing_s/update_actor": "update",
    "timing_s/update_weights": "sync",
    "timing_s/save_checkpoint": "save",
    "timing_s/testing": "evaluate",
}
LOSSES = {"actor/pg_loss": "policy", "actor/kl_loss": "kl", "actor/entropy": "entropy"}
"""Metrics -> words. Further parts of the loss (`actor/*_loss`) show under their own names."""


def step_line(step: int, data: dict[str, Any], total: int = 0, left_s: float | None = None) -> str:
    """One step in one line; `left_s` is the time that the run still takes."""
    parts = [f"step {step:>4}" + (f"/{total}" if total else "")]
    if "critic/score/mean" in data:
        parts.append(f"reward {data['critic/score/mean']:.3f}")
        if "reward/acc/mean" in data:
            parts.append(f"passed {data['reward/acc/mean']:.3f}")
        parts += [
            f"tool calls {data.get('tool_calls/mean', 0.0):.2f}",
            f"length {data.get('response_length/mean', 0.0):.0f} (max {data.get('response_length/max', 0.0):.0f})",
            f"loss {_losses(data)}",
            f"{data.get('timing_s/step', 0.0):.1f} s ({_phases(data)})",
        ]
    if "curriculum/stage" in data:
        parts.append(f"stage {data['curriculum/stage'] + 1:.0f}")
    rate = pass_rate(data)
    if rate is not None:
        parts.append(f"held-out pass@1 {rate:.3f}, tool calls {data.get('val-aux/tool_calls/mean', 0.0):.2f}")
        if "eval/sampled/pass_at_1" in data:
            parts.append(f"sampled {data['eval/sampled/pass_at_1']:.3f}")
    if left_s is not None:
        parts.append(f"left {duration(left_s)}")
    return "  ".join(parts)


def _losses(data: dict[str, Any]) -> str:
    further = {
        key: key.removeprefix("actor/").removesuffix("_loss") for key in data if key.startswith("actor/")
    }
    named = {
        **LOSSES,
        **{key: word for key, word in further.items() if key.endswith("_loss") and key not in LOSSES},
    }
    return " ".join(f"{word} {data[key]:+.4f}" for key, word in named.items() if key in data)


def _phases(data: dict[str, Any]) -> str:
    return ", ".join(f"{word} {data[key]:.1f}" for key, word in PHASES.items() if data.get(key, 0.0) >= 0.05)

"""The terminal's view of a run: a bar and one line per step, read from the run's files."""

import json
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from verl_coder.trainer.run_dir import RunDir
from verl_coder.trainer.summary import pass_rate


class RunProgress:
    """Follows `phase.json` and `metrics.jsonl`; call `poll` now and then."""

    def __init__(self, run_dir: RunDir, console: Console, total_steps: int) -> None:
        self._run_dir, self._console = run_dir, console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("starting Ray, the workers and vLLM", total=total_steps)
        self._offset = run_dir.metrics.stat().st_size if run_dir.metrics.is_file() else 0

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def poll(self) -> None:
        """Show what is new since the last call."""
        if self._run_dir.phase.is_file():
            state = json.loads(self._run_dir.phase.read_text())
            done = state["step"] - (1 if state["phase"] == "training" else 0)
            self._bar.update(
                self._task, description=state["phase"], total=state["total"], completed=max(done, 0)
            )
        if not self._run_dir.metrics.is_file():
            return
        with self._run_dir.metrics.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                record = json.loads(line)
                line_text = step_line(record["step"], record["data"])
                self._bar.console.print(line_text, highlight=False, soft_wrap=True)


def step_line(step: int, data: dict[str, Any]) -> str:
    """One step in one line."""
    parts = [f"step {step:>4}"]
    if "critic/score/mean" in data:
        parts += [
            f"reward {data['critic/score/mean']:.3f}",
            f"tool calls {data.get('tool_calls/mean', 0.0):.2f}",
            f"length {data.get('response_length/mean', 0.0):.0f}",
            f"loss {data.get('actor/pg_loss', 0.0):+.4f}",
            f"{data.get('timing_s/step', 0.0):.1f} s (generate {data.get('timing_s/gen', 0.0):.1f}, "
            f"update {data.get('timing_s/update_actor', 0.0):.1f})",
        ]
    rate = pass_rate(data)
    if rate is not None:
        parts.append(f"held-out pass@1 {rate:.3f}, tool calls {data.get('val-aux/tool_calls/mean', 0.0):.2f}")
    return "  ".join(parts)

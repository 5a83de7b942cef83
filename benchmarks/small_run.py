"""The main job made small (a tiny recipe, 8 prompts x 4 samples), for the benchmarks that need many runs."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from verl_coder.files import json_lines
from verl_coder.launch.summary import pass_rate
from verl_coder.run.run_dir import RunDir

BATCH, HELD_OUT = 8, 48
"""Prompts a step, held-out problems."""

SMALL = (
    "trainer.save_freq=1",
    "trainer.test_freq=2",
    f"data.val_max_samples={HELD_OUT}",
    f"data.train_batch_size={BATCH}",
    f"actor_rollout_ref.actor.ppo_mini_batch_size={BATCH}",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=32",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=32",
)


class SmallRun:
    """The command of one run, to be started again and again."""

    def __init__(
        self,
        out: Path,
        steps: int,
        overrides: Sequence[str] = (),
        *,
        recipe: str = "tiny_cpu",
        seed: int = 0,
        terminals: Path | None = None,
        size: Sequence[str] = SMALL,
    ) -> None:
        self.run_dir, self._starts, self._terminals = RunDir(out), 0, terminals or out.parent
        self._command = [
            *(sys.executable, "-m", "verl_coder.cli", "train", "--recipe", recipe),
            *("--out", str(out), "--seed", str(seed)),
            f"trainer.total_training_steps={steps}",
            "trainer.total_epochs=1000",
            *size,
            *overrides,
        ]

    @property
    def output(self) -> str:
        """What the terminal of the last start showed."""
        return self._terminal.read_text(errors="replace")

    @property
    def _terminal(self) -> Path:
        return self._terminals / f"{self.run_dir.path.name}_start{self._starts}.txt"

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """One more start, in a process group of its own."""
        self._starts += 1
        self._terminal.parent.mkdir(parents=True, exist_ok=True)
        everything = os.environ | {"PROFILE": "cpu", "COLUMNS": "200"} | environment
        with self._terminal.open("wb") as file:
            return subprocess.Popen(
                self._command, stdout=file, stderr=subprocess.STDOUT, env=everything, start_new_session=True
            )

    def finish(self, **environment: str) -> None:
        """Start and wait for the end; exits where the run fails."""
        self.end(self.start(**environment))

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end; exits where the run fails."""
        if process.wait():
            sys.exit(f"the run in {self.run_dir.path} failed:\n{self.output[-3000:]}")

    def phase(self) -> dict:
        """The phase file; {} before training."""
        try:
            return dict(json.loads(self.run_dir.phase.read_text()))
        except FileNotFoundError:
            return {}

    def steps(self) -> list[int]:
        """Steps in metrics.jsonl, as they stand there."""
        records = json_lines(self.run_dir.metrics) if self.run_dir.metrics.is_file() else ()
        return [record["step"] for record in records]

    def last_rate(self) -> float:
        """Held-out pass@1 of the last evaluation."""
        rates = [pass_rate(record["data"]) for record in self.run_dir.read_metrics()]
        return round([rate for rate in rates if rate is not None][-1], 3)

    def series(self, name: str) -> dict[int, float]:
        """Step -> a metric."""
        records = self.run_dir.read_metrics()
        return {record["step"]: record["data"][name] for record in records if name in record["data"]}

    def step_s(self) -> list[float]:
        """Seconds of each step."""
        return [round(seconds, 2) for seconds in self.series("timing_s/step").values()]


def prompts(run_dir: RunDir, step: int) -> Counter[str]:
    """How often each prompt was sampled in a step; lines that a kill cut short are left out."""
    counts: Counter[str] = Counter()
    path = run_dir.path / "rollouts" / f"{step}.jsonl"
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
        if line.endswith(b"\n"):
            counts[json.loads(line)["input"]] += 1
    return counts

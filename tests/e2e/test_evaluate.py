"""`verl-coder evaluate` on the checkpoint of a real run, with real vLLM."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.training_run import STEPS, TrainingRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_checkpoint_scores_what_its_trainer_measured(training_run: TrainingRun, tmp_path: Path) -> None:
    model = f"{training_run.run_dir.path}@{STEPS}"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "verl_coder.cli",
            "evaluate",
            "--model",
            model,
            "--limit",
            "24",
            "--out",
            str(tmp_path / "out"),
        ],
        env={**os.environ, "PROFILE": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "out" / "evaluation_results.json").read_text())
    measured = training_run.run_dir.backup.read(STEPS)["data"]
    # The trainer drew its 24 of the 200 problems at random; these are the first ones.
    assert results["num_tasks"] == measured["eval/problems"] == 24
    assert results["pass_at_k"]["1"] == pytest.approx(measured["eval/greedy/pass_at_1"], abs=0.3)
    assert results["tools"]["mean"] == pytest.approx(measured["eval/greedy/tool_calls/mean"], abs=0.5)
    assert not (tmp_path / "out" / ".model").exists()

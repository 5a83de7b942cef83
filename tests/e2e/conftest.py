"""One real training run for the whole session."""

import json

import pytest
from e2e.training_run import STEPS, TrainingRun, TrainingRunProcess


@pytest.fixture(scope="session")
def training_run(training_run_process: TrainingRunProcess) -> TrainingRun:
    """See training_run.py."""
    return training_run_process.result()


@pytest.fixture(scope="session")
def rollouts(training_run: TrainingRun) -> dict[int, list[dict]]:
    """Step -> the rows of its rollout file."""
    return {
        step: [
            json.loads(line)
            for line in (training_run.run_dir.path / "rollouts" / f"{step}.jsonl").read_text().splitlines()
        ]
        for step in range(1, STEPS + 1)
    }

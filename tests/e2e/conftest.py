"""What the runs beside the other tests left, for the whole session: see background.py."""

import json

import pytest
from e2e.background import BackgroundRuns
from e2e.pipeline_run import WholePipeline
from e2e.training_run import STEPS, Evaluation, TrainingRun


@pytest.fixture(scope="session")
def training_run(background_runs: BackgroundRuns) -> TrainingRun:
    """See training_run.py."""
    return TrainingRun(**background_runs.result("training_run"))


@pytest.fixture(scope="session")
def evaluation(training_run: TrainingRun, background_runs: BackgroundRuns) -> Evaluation:
    """Of the training run's last checkpoint."""
    return Evaluation(**background_runs.result("evaluation"))


@pytest.fixture(scope="session")
def pipeline_run(background_runs: BackgroundRuns) -> WholePipeline:
    """See pipeline_run.py."""
    return WholePipeline(**background_runs.result("pipeline_run"))


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

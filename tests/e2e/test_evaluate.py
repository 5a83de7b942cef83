"""`verl-coder evaluate` on the checkpoint of a real run, with real vLLM."""

import json
from pathlib import Path

import pytest
from e2e.training_run import EVALUATED, STEPS, Evaluation, TrainingRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_checkpoint_scores_what_its_trainer_measured(
    training_run: TrainingRun, evaluation: Evaluation
) -> None:
    assert evaluation.status == 0, evaluation.said
    out = Path(evaluation.out)
    results = json.loads((out / "evaluation_results.json").read_text())
    measured = training_run.run_dir.backup.read(STEPS)["data"]
    # The trainer drew its problems, of 200, at random; these are the first ones.
    assert results["num_tasks"] == measured["eval/problems"] == EVALUATED
    assert results["pass_at_k"]["1"] == pytest.approx(measured["eval/greedy/pass_at_1"], abs=0.3)
    assert results["tools"]["mean"] == pytest.approx(measured["eval/greedy/tool_calls/mean"], abs=0.5)
    assert not (out / ".model").exists()

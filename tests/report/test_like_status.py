"""A report says of a run what `verl-coder status` says, and shows a fine-tuning run as one."""

import json
from pathlib import Path

import pytest
from report.folders import read_script, write_evaluation, write_lines, write_run

from verl_coder.launch.status import run_status
from verl_coder.report.build import Report, write_report
from verl_coder.report.inputs import find_inputs
from verl_coder.report.training_run import describe_training_run
from verl_coder.run.checkpoint_files import TRACKER
from verl_coder.run.phase import START_PARTS, starting

RATES = {0: 0.5, 4: 0.995, 8: 0.98, 12: 0.995}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose best rate was measured twice."""
    run = write_run(tmp_path / "run")
    write_lines(
        run / "metrics.jsonl",
        [{"step": step, "data": {"eval/greedy/pass_at_1": rate}} for step, rate in RATES.items()],
    )
    return run


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("kept", [4, 8, 12])
def test_the_best_step_is_the_checkpoint_that_status_names(run: Path, kept: int, gone: bool) -> None:
    folder = run / "checkpoints" / f"global_step_{kept}"
    folder.mkdir(parents=True)
    (run / "checkpoints" / "best.json").write_text(json.dumps({"step": kept, "pass_rate": RATES[kept]}))
    (run / "checkpoints" / TRACKER).write_text(str(kept))
    if gone:
        folder.rmdir()
    best = describe_training_run(run, [])["best"]
    assert best == {"step": kept, "value": RATES[kept], "checkpoint": not gone}
    told = run_status(run)["best checkpoint"]
    assert told.startswith(f"step {kept} ") and told.endswith("not there any more") is gone


def test_without_a_checkpoint_the_later_of_equals_is_the_best(run: Path) -> None:
    assert describe_training_run(run, [])["best"] == {"step": 12, "value": 0.995, "checkpoint": False}


@pytest.mark.parametrize("part", START_PARTS)
def test_a_part_of_the_start_has_one_number_everywhere(run: Path, part: str) -> None:
    starting(part).write(run / "phase.json")
    told = f"start {START_PARTS.index(part) + 1}/{len(START_PARTS)}: {part}"
    assert starting(part).describe() == told
    assert describe_training_run(run, [])["state"] == told


def write_sft(folder: Path, *, finished: bool) -> Path:
    """What `verl-coder sft` writes."""
    folder.mkdir()
    (folder / "sft.log").touch()
    losses = [{"train/loss": 0.3, "val/loss_before": 0.4}, {"train/loss": 0.1, "val/loss": 0.2}]
    write_lines(folder / "metrics.jsonl", [{"step": n + 1, "data": loss} for n, loss in enumerate(losses)])
    if finished:
        data = {"training": 9, "held_out": 1, "dropped_too_long": 0}
        summary = {"settings": {"epochs": 1}, "data": data, "train_loss": {}, "seconds": 30.0}
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.mark.parametrize("finished", [True, False])
def test_a_fine_tuning_run_is_shown_as_one_and_nothing_of_it_is_missing(
    tmp_path: Path, finished: bool
) -> None:
    folders = [write_sft(tmp_path / "sft", finished=finished), write_run(tmp_path / "run")]
    folders.append(write_evaluation(tmp_path / "eval"))
    write_report(Report(find_inputs(folders)), tmp_path / "out")
    shown = read_script(tmp_path / "out" / "data" / "site.js", "site")["runs"]
    assert [one["kind"] for one in shown] == ["sft", "training", "evaluation"]
    sft = shown[0]
    assert sft["missing"] == [] and sft["trajectories"] == 0
    assert sft["loss"] == {"first": 0.3, "last": 0.1, "held_out_before": 0.4, "held_out_after": 0.2}
    assert sft["state"] == ("finished" if finished else "not finished, last step 2")
    assert sft["rows"]["training"] == (9 if finished else None)

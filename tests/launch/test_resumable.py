"""A folder is brought to the state of its last checkpoint: nothing of later steps stays anywhere."""

import io
import json
from dataclasses import replace

import pytest
from launch.started_folder import checkpoint
from rich.console import Console

from verl_coder.launch.plan import Plan
from verl_coder.launch.resumable import make_resumable
from verl_coder.run.checkpoint_files import STATE, WAITING, step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.run.sync_state import SyncState, begin


def steps(run_dir: RunDir) -> list[int]:
    return [json.loads(line)["step"] for line in run_dir.metrics.read_text().splitlines()]


def test_a_resume_forgets_the_steps_that_are_trained_again_everywhere(plan: Plan) -> None:
    checkpoint(plan.run_dir, 3)
    make_resumable(plan, Console(quiet=True))
    assert steps(plan.run_dir) == plan.run_dir.backup.steps() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        (3, "steps 4 to 5 removed (later"),
        (4, "step 5 removed"),
        (5, ""),
        (0, "steps 0 to 5 removed (there is no"),
    ],
)
def test_steps_that_are_forgotten_are_told(plan: Plan, saved: int, told: str) -> None:
    if saved:
        checkpoint(plan.run_dir, saved)
    console = Console(file=io.StringIO(), width=200)
    make_resumable(plan, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"metrics and samples of {told}" in said if told else "removed" not in said


@pytest.mark.parametrize(("saved", "left"), [(3, [0, 3]), (0, [])])
def test_samples_of_steps_that_are_trained_again_are_forgotten(
    plan: Plan, saved: int, left: list[int]
) -> None:
    for step in (0, 3, 5):
        for name in (f"rollouts/{step}", f"validation/{step}", f"eval_samples/step_{step:06d}"):
            file = plan.run_dir.path / f"{name}.jsonl"
            file.parent.mkdir(exist_ok=True)
            file.write_text("{}\n")
    (plan.run_dir.path / "rollouts/mine.jsonl").touch()
    if saved:
        checkpoint(plan.run_dir, saved)
    make_resumable(plan, Console(quiet=True))
    assert sorted(step for step, _ in plan.run_dir.sample_files()) == sorted(left * 3)
    assert (plan.run_dir.path / "rollouts/mine.jsonl").exists()


def test_a_checkpoint_whose_step_is_not_logged_is_no_new_wandb_run(plan: Plan) -> None:
    """Its evaluation was given up, and W&B has step 0 alone."""
    plan.run_dir.backup.drop_after(0)
    checkpoint(plan.run_dir, 1)
    first = begin(plan.run_dir.sync_state, mode="online", project="p", name="r", resumes_after=None)
    replace(first, sent_step=0, confirmed_step=0).save(plan.run_dir.sync_state)
    make_resumable(plan, Console(quiet=True))
    after = SyncState.load(plan.run_dir.sync_state)
    assert after is not None and after.run_id == first.run_id


def test_the_metrics_of_a_checkpoint_that_awaits_its_evaluation_are_logged_anew(plan: Plan) -> None:
    """A kill came between its metrics and the checkpoint's word that they are there; its samples are whole."""
    checkpoint(plan.run_dir, 3)
    folder = step_folder(plan.run_dir.checkpoints, 3)
    (folder / STATE).write_text(json.dumps({WAITING: {"loss": 1.0}}))
    samples = plan.run_dir.path / "rollouts/3.jsonl"
    samples.parent.mkdir(exist_ok=True)
    samples.touch()
    make_resumable(plan, Console(quiet=True))
    assert steps(plan.run_dir) == plan.run_dir.backup.steps() == [0, 1, 2] and samples.exists()


def test_a_resume_keeps_the_metrics_of_its_checkpoint_from_an_evaluation_before_training(plan: Plan) -> None:
    checkpoint(plan.run_dir, 3)
    make_resumable(plan, Console(quiet=True))
    assert plan.config.trainer.val_before_train is False


def test_without_a_checkpoint_all_is_done_again(plan: Plan) -> None:
    make_resumable(plan, Console(quiet=True))
    assert steps(plan.run_dir) == plan.run_dir.backup.steps() == []
    assert plan.config.trainer.val_before_train is True


def test_a_longer_run_takes_back_the_summary_of_the_shorter_one(plan: Plan) -> None:
    plan.run_dir.summary.write_text(json.dumps({"steps": 3}))
    checkpoint(plan.run_dir, 3)
    make_resumable(plan, Console(quiet=True))
    assert not plan.run_dir.summary.exists()

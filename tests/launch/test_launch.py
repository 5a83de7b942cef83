"""What the launcher does around training: leftovers, resume, SIGTERM."""

import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from verl_coder.launch import launch, training_process
from verl_coder.launch.early_worker import EarlyWorker
from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.launch.resumable import make_resumable
from verl_coder.launch.supervise import Interrupted
from verl_coder.run.checkpoint_files import SAVING, commit, step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.run.sync_state import SyncState, begin


@pytest.fixture(scope="module")
def base_plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan, composed once."""
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out") / "run")))


@pytest.fixture
def plan(base_plan: Plan, tmp_path: Path) -> Plan:
    """The plan with a folder of its own, which holds metrics of steps 0 to 5."""
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    run_dir.metrics.write_text("".join(json.dumps({"step": n, "data": {}}) + "\n" for n in range(6)))
    for step in range(6):
        run_dir.backup.write(step, {})
    settings = base_plan.settings.model_copy(update={"out": str(run_dir.path)})
    return replace(base_plan, config=base_plan.config.copy(), run_dir=run_dir, settings=settings)


def checkpoint(run_dir: RunDir, step: int) -> None:
    folder = step_folder(run_dir.checkpoints / SAVING, step)
    folder.mkdir(parents=True)
    (folder / "data.pt").write_bytes(b"x")
    commit(run_dir.checkpoints, step)


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


def test_sigterm_while_the_summary_is_made_leaves_a_word_and_the_summary(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def summary(run_dir: RunDir, *_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        run_dir.summary.write_text("{}")

    monkeypatch.setattr(launch, "write_summary", summary)
    status, shown = start_worker(plan, monkeypatch, lambda _: 0)
    assert status == 0 and plan.run_dir.summary.is_file()
    assert "SIGTERM: all steps were done, and the summary is written" in shown


def test_sigterm_while_the_sandbox_starts_stops_the_start(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Nothing, "__enter__", _terminated)
    status, shown = start_worker(plan, monkeypatch, lambda _: pytest.fail("the worker was started"))
    assert status == 0 and "stopped by SIGTERM; the same command begins anew" in shown


def _terminated(_: Any) -> tuple[str, list[int]]:
    signal.raise_signal(signal.SIGTERM)
    return "http://sandbox", []


def start_worker(plan: Plan, monkeypatch: pytest.MonkeyPatch, worker: Any) -> tuple[int, str]:
    """Exit status and output of a start whose worker is `worker(on_terminate)`."""
    monkeypatch.setenv("SANDBOX_URL", "unused")
    monkeypatch.setattr(training_process, "run_sandbox", lambda _: _Nothing())
    monkeypatch.setattr(training_process, "supervise", lambda *_, on_terminate, **__: worker(on_terminate))
    console = Console(record=True, width=200)
    with EarlyWorker(plan) as early:
        return launch._run(plan, console, Path(os.devnull), early), console.export_text()


class _Nothing:
    def __enter__(self) -> tuple[str, list[int]]:
        return "http://sandbox", []

    def __exit__(self, *_: object) -> None:
        return None


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_sigterm_before_training_ends_with_status_0(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def worker(on_terminate: Any) -> int:
        assert not on_terminate()
        raise Interrupted(name)

    checkpoint(plan.run_dir, 3)
    status, shown = start_worker(plan, monkeypatch, worker)
    assert status == 0 and "goes on after step 3" in shown


def test_sigterm_in_training_asks_for_a_checkpoint_and_ends_with_status_0(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worker(on_terminate: Any) -> int:
        plan.run_dir.phase.write_text(json.dumps({"phase": "training", "step": 4, "total": 9}))
        assert on_terminate() and plan.run_dir.stop_request.is_file()
        plan.run_dir.stopped.write_text(json.dumps({"step": 4}))
        return 0

    status, shown = start_worker(plan, monkeypatch, worker)
    assert status == 0 and "stopped by SIGTERM after step 4, which is saved" in shown


def test_a_second_sigterm_and_ctrl_c_do_not_claim_success(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worker(on_terminate: Any) -> int:
        plan.run_dir.phase.write_text(json.dumps({"phase": "training", "step": 4, "total": 9}))
        on_terminate()
        raise Interrupted("SIGTERM")

    assert start_worker(plan, monkeypatch, worker)[0] == 130

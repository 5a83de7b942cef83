"""What `verl-coder status` tells of a run."""

import fcntl
import json
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.files import locked
from verl_coder.launch.status import run_status, what_stands
from verl_coder.run.notices import Notices
from verl_coder.run.run_dir import RunDir
from verl_coder.run.sync_state import SyncState, begin


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    """A run of three steps that W&B has up to step 1."""
    run_dir = RunDir(tmp_path)
    run_dir.config.write_text("{}")
    run_dir.metrics.write_text(
        "".join(
            json.dumps({"step": step, "data": {"val-core/sample/acc/mean@1": step / 4}}) + "\n"
            for step in range(4)
        )
    )
    for step in range(4):
        run_dir.backup.write(step, {})
    state = begin(run_dir.sync_state, mode="online", project="p", name="n", resumes_after=None)
    state.confirmed_step, state.error = 1, "CommError: no answer"
    state.save(run_dir.sync_state)
    return run_dir


def test_local_metrics_and_wandbs_are_shown(run_dir: RunDir) -> None:
    status = run_status(run_dir.path)
    state = SyncState.load(run_dir.sync_state)
    assert state is not None
    assert status["last step"] == "3"
    assert status["local metrics"] == "4 steps in wandb_backup/"
    assert status["W&B"] == f"online, run {state.run_id} of project p"
    assert status["W&B has"] == "step 1"
    assert "2 steps" in status["W&B lacks"] and "verl-coder wandb push" in status["W&B lacks"]
    assert status["W&B error"] == "CommError: no answer"
    assert status["held-out pass@1"].endswith("0.750 (step 3)")


def test_the_pass_rate_before_training_is_told_beside_the_last_ones(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [{"step": step, "data": {"val-core/sample/acc/mean@1": step / 10}} for step in range(6)]
    monkeypatch.setattr(RunDir, "read_metrics", lambda _: records)
    told = run_status(run_dir.path)["held-out pass@1"]
    assert told == "0.000 (step 0), ..., 0.300 (step 3), 0.400 (step 4), 0.500 (step 5)"


def test_a_run_that_nobody_holds_is_not_running(run_dir: RunDir) -> None:
    run_dir.phase.write_text(json.dumps({"phase": "training", "step": 4, "total": 9}))
    run_dir.lock.touch()
    assert run_status(run_dir.path)["state"] == f"not running; {run_dir.same_command()}"


def test_what_ended_the_last_start_is_told_until_the_run_goes_on(run_dir: RunDir) -> None:
    assert "its last start" not in run_status(run_dir.path)
    run_dir.stuck.write_text("the trainer (process 7) was killed\n2026-11-30\n\n== stacks")
    assert run_status(run_dir.path)["its last start"] == "the trainer (process 7) was killed"
    with run_dir.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "its last start" not in run_status(run_dir.path)
    run_dir.summary.write_text("{}")
    assert "its last start" not in run_status(run_dir.path)


def test_a_running_run_tells_its_phase(run_dir: RunDir) -> None:
    with run_dir.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run_status(run_dir.path)["state"] == "starting"
        run_dir.phase.write_text(json.dumps({"phase": "evaluating", "step": 4, "total": 9}))
        assert run_status(run_dir.path)["state"] == "evaluating, step 4 of 9"


def test_the_last_warnings_are_shown_in_spite_of_a_line_cut_short(run_dir: RunDir) -> None:
    run_dir.notices.write_text('{"key": "a", "te')
    Notices(run_dir.notices).say("disk", "the disk was full")
    assert run_status(run_dir.path)["said, 1"] == "warning: the disk was full"


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        run_status(tmp_path)


def test_what_stands_in_a_folder_is_told_from_nothing(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    assert what_stands(run_dir) == ""
    run_dir.config.write_text("{}")
    assert what_stands(run_dir) == "a run that was started and has no checkpoint yet"
    with locked(run_dir.lock, "busy"):
        assert what_stands(run_dir).endswith("yet, at work")

"""What `verl-coder status` tells of a run."""

import fcntl
import json
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.files import locked
from verl_coder.launch.status import is_running, run_status, what_stands
from verl_coder.run.checkpoint_files import TRACKER
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


def test_a_push_is_not_advised_of_a_run_at_work_or_one_without_wandb(run_dir: RunDir) -> None:
    with locked(run_dir.lock, "busy"):
        assert run_status(run_dir.path)["W&B lacks"] == "2 steps or their confirmation (2 to 3)"
    begin(run_dir.sync_state, mode="disabled", project="p", name="n", resumes_after=3)
    assert "W&B lacks" not in run_status(run_dir.path)


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


def test_what_is_damaged_costs_only_its_own_line(run_dir: RunDir) -> None:
    run_dir.checkpoints.mkdir()
    (run_dir.checkpoints / TRACKER).write_text("4")
    run_dir.best.write_text("{")
    run_dir.sync_state.write_text("{")
    run_dir.phase.write_bytes(b"\xff")
    with run_dir.metrics.open("a") as file:
        file.write('{"step": 3, "data": {"val-core/sample/acc/mean@1": null}}\n{"step": 1e999, "data": {}}\n')
    status = run_status(run_dir.path)
    assert "global_step_4/ is not whole" in status["checkpoint"] and "not whole" in status["state"]
    assert "best.json is broken" in status["best checkpoint"] and "not a sync state" in status["W&B"]
    assert status["last step"] == "3" and status["held-out pass@1"].endswith("0.500 (step 2)")
    assert what_stands(run_dir) == "a run whose checkpoints are not in order"
    with locked(run_dir.lock, "busy"):
        assert run_status(run_dir.path)["state"] == "starting"


def test_a_best_checkpoint_that_is_gone_is_told_as_such(run_dir: RunDir) -> None:
    run_dir.checkpoints.mkdir()
    run_dir.best.write_text('{"step": 4, "pass_rate": 0.9}')
    told = run_status(run_dir.path)["best checkpoint"]
    assert told == "step 4 (pass rate 0.900), which is not there any more"
    (run_dir.checkpoints / "global_step_4").mkdir()
    (run_dir.checkpoints / "global_step_4" / "data.pt").touch()
    (run_dir.checkpoints / TRACKER).write_text("4")
    assert run_status(run_dir.path)["best checkpoint"] == "step 4 (pass rate 0.900)"


def test_every_value_is_one_line_that_moves_no_cursor(run_dir: RunDir) -> None:
    Notices(run_dir.notices).say("a", "one\n   W&B has  all of it\x1b[31m\r")
    run_dir.stuck.write_text("died\x1b[2J\n")
    state = SyncState.load(run_dir.sync_state)
    assert state is not None
    state.error = "one\ntwo\x1b[31m"
    state.save(run_dir.sync_state)
    status = run_status(run_dir.path)
    assert status["said, 1"] == r"warning: one W&B has all of it\x1b[31m"
    assert status["W&B error"] == r"one two\x1b[31m" and status["its last start"] == r"died\x1b[2J"


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


def test_a_lock_that_another_user_made_is_looked_up(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be opened where that user's umask forbids it."""
    true = Path.open

    def refuse(self: Path, *arguments: object, **options: object) -> object:
        if self == run_dir.lock:
            raise PermissionError(13, "Permission denied", str(self))
        return true(self, *arguments, **options)  # type: ignore[call-overload]

    with locked(run_dir.lock, "busy"):
        monkeypatch.setattr(Path, "open", refuse)
        assert is_running(run_dir)
    assert not is_running(run_dir)


def test_a_file_system_without_locks_is_no_run_at_work(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    run_dir.lock.touch()
    monkeypatch.setattr(fcntl, "flock", flock)
    assert not is_running(run_dir)

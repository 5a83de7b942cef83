"""The upload by wandb's own client to a scripted server: complete, in order, each step once; failures harm nothing."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from launch.wandb_server import WandbServer

from verl_coder.errors import ConfigError
from verl_coder.files import locked
from verl_coder.launch import wandb_push
from verl_coder.launch.wandb_push import WandbPush
from verl_coder.launch.wandb_uploader import WandbUploader
from verl_coder.run.run_dir import RunDir
from verl_coder.run.sync_state import SyncState, begin
from verl_coder.trainer.tracking import RunTracking


def push(run_dir: RunDir, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    run_dir.config.touch()
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "verl_coder.cli",
            "wandb",
            "push",
            str(run_dir.path),
            "--finish-timeout-s",
            "10",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def state(run_dir: RunDir) -> SyncState:
    loaded = SyncState.load(run_dir.sync_state)
    assert loaded is not None
    return loaded


def steps_of(server: WandbServer, run_id: str) -> list[int]:
    return [row["_step"] for row in server.history(run_id)]


def wait_for(condition: object, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.02)


def test_each_step_arrives_once_in_order_whatever_is_pushed_and_trained_again(
    run_dir: RunDir, server: WandbServer, environment: dict[str, str]
) -> None:
    (run_dir.path / "samples.jsonl").write_text(json.dumps({"problem": "sum", "passed": True}) + "\n")
    run_dir.backup.write(5, {"loss": 2.5}, {"eval/samples": "samples.jsonl"})
    first = push(run_dir, environment)
    assert first.returncode == 0, first.stdout + first.stderr
    rows = server.history(state(run_dir).run_id)
    assert [(row["_step"], row["loss"]) for row in rows] == [(step, step / 2) for step in range(6)]
    assert state(run_dir).confirmed_step == 5
    # wandb flattens nothing here: the table is one entry that names its file.
    assert rows[5]["eval/samples"]["nrows"] == 1
    assert any(name.startswith("media/table/") for name in server.files)
    run_dir.drop_metrics_after(2)
    begin(run_dir.sync_state, mode="online", project="p", name="run", resumes_after=2)
    for step in range(3, 8):
        run_dir.backup.write(step, {"loss": -1.0})
    again = push(run_dir, environment)
    assert again.returncode == 0, again.stdout + again.stderr
    assert list(server.runs) == [state(run_dir).run_id]
    assert steps_of(server, state(run_dir).run_id) == list(range(8))
    forgotten = state(run_dir)
    forgotten.confirmed_step = forgotten.sent_step = -1
    forgotten.save(run_dir.sync_state)
    nothing = push(run_dir, environment)
    assert "0 steps sent" in nothing.stdout, nothing.stdout + nothing.stderr
    assert steps_of(server, state(run_dir).run_id) == list(range(8))


def test_a_failing_server_holds_nobody_up_and_loses_nothing(
    run_dir: RunDir, server: WandbServer, environment: dict[str, str]
) -> None:
    server.mode = "refuse"
    with WandbUploader(run_dir, enabled=True, finish_timeout_s=2.0) as uploader:
        wait_for(lambda: len(server.requests) > 1)
        server.mode = "cut"
        wait_for(lambda seen=len(server.requests): len(server.requests) > seen)
        server.mode = "hang"  # for the last try, at the end
    assert not any(psutil.pid_exists(pid) for pid in uploader.pids)
    assert state(run_dir).confirmed_step == -1
    server.mode = "ok"
    result = push(run_dir, environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert steps_of(server, state(run_dir).run_id) == [0, 1, 2, 3, 4]


def test_a_server_that_fails_in_the_middle_gets_the_rest_later(
    run_dir: RunDir, server: WandbServer, environment: dict[str, str]
) -> None:
    with WandbUploader(run_dir, enabled=True, finish_timeout_s=1.0):
        wait_for(lambda: steps_of(server, state(run_dir).run_id) == [0, 1, 2, 3, 4])
        # What the trainer does in a step: it writes files, and knows nothing of the server.
        logger = RunTracking("p", "run", [], {"verl_coder": {"out": str(run_dir.path)}})
        for step, failure in enumerate(("hang", "refuse", "cut"), start=5):
            server.mode = failure
            logger.log({"loss": 0.0}, step=step)
            assert run_dir.backup.steps() == list(range(step + 1))
            wait_for(lambda step=step: state(run_dir).sent_step == step)
    assert state(run_dir).sent_step == 7
    assert steps_of(server, state(run_dir).run_id) == [0, 1, 2, 3, 4]
    server.mode = "ok"
    result = push(run_dir, environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert steps_of(server, state(run_dir).run_id) == list(range(8))


_FOLLOW = """
import sys, time; from pathlib import Path
from verl_coder.launch import wandb_push; from verl_coder.run.run_dir import RunDir
wandb_push.RETRY_S = 0.1
run = RunDir(Path(sys.argv[1]))
push = wandb_push.WandbPush(run.path, run.sync_state, run.backup, finish_timeout_s=10)
push.follow(lambda: (run.path / "stop").exists(), print, confirm_every_s=0.1)
"""


def follow_until_confirmed(run_dir: RunDir, server: WandbServer, environment: dict[str, str]) -> str:
    """What it says until the server has all; the server answers well from its second request on."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", _FOLLOW, str(run_dir.path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: server.requests)
    server.mode = "ok"
    wait_for(lambda: state(run_dir).confirmed_step == 4)
    assert process.poll() is None and state(run_dir).confirmed_step == 4
    (run_dir.path / "stop").touch()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert steps_of(server, state(run_dir).run_id) == [0, 1, 2, 3, 4]
    return said


def test_a_long_upload_learns_in_between_what_the_server_has(
    run_dir: RunDir, server: WandbServer, environment: dict[str, str]
) -> None:
    assert not follow_until_confirmed(run_dir, server, environment)


def test_an_upload_whose_start_failed_is_begun_again(
    run_dir: RunDir, server: WandbServer, environment: dict[str, str]
) -> None:
    server.mode = "cut"
    assert "W&B does not answer" in follow_until_confirmed(run_dir, server, environment)


class WithoutServer(WandbPush):
    """What reaches wandb's client stands in `given`."""

    given: list[int]

    def _open(self) -> None:
        self._run = SimpleNamespace(
            log=lambda data, step, commit: self.given.append(step), finish=lambda: None
        )
        self._remember(None)


@pytest.fixture
def uploader(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> WithoutServer:
    monkeypatch.setattr(wandb_push, "RETRY_S", 0.0)
    monkeypatch.setattr(wandb_push, "POLL_S", 0.01)
    push = WithoutServer(run_dir.path, run_dir.sync_state, run_dir.backup, finish_timeout_s=1.0)
    push.given = []
    return push


def test_a_disk_that_was_full_does_not_end_the_upload(
    uploader: WithoutServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    save = SyncState.save

    def full(sync_state: SyncState, path: Path) -> None:
        if len(told) < 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(sync_state, path)

    monkeypatch.setattr(SyncState, "save", full)
    uploader.follow(lambda: uploader.given == [0, 1, 2, 3, 4], told.append)
    assert len(told) == 2 and "No space left on device" in told[0]
    assert uploader.given == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("what", ["a step", "a table"])
def test_a_broken_file_is_told_and_waited_for(uploader: WithoutServer, run_dir: RunDir, what: str) -> None:
    told: list[str] = []
    broken = run_dir.backup.path(2)
    if what == "a table":
        broken = run_dir.path / "samples.jsonl"
        run_dir.backup.write(2, {"loss": 1.0}, {"eval/samples": broken.name})
    broken.write_text("{")

    def mended(text: str) -> None:
        told.append(text)
        assert uploader.given == [0, 1]
        broken.unlink()
        run_dir.backup.write(2, {"loss": 1.0})

    uploader.follow(lambda: uploader.given == [0, 1, 2, 3, 4], mended)
    assert len(told) == 1 and f"{broken} is broken" in told[0]


def test_a_run_at_work_is_not_pushed_beside(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    run_dir.config.touch()
    with (
        locked(run_dir.lock, "busy"),
        pytest.raises(ConfigError, match=r"is at work: .*Push when it has ended"),
    ):
        wandb_push.push(run_dir.path, 1.0)


def test_a_copy_is_not_pushed_into_the_run_of_the_original(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    run_dir.config.touch()
    copy = run_dir.path.with_name("copy")
    shutil.copytree(run_dir.path, copy)
    with pytest.raises(
        ConfigError, match=f"is a copy of {run_dir.path}, whose W&B run this is: push that one"
    ):
        wandb_push.push(copy, 1.0)


@pytest.mark.parametrize("text", ["{", "[1]", "5", "\0"])
def test_a_broken_configuration_is_named(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    run_dir.config.write_text(text)
    with pytest.raises(
        ConfigError, match=r"config\.yaml .*: write \{\} into it, and the steps are sent"
    ) as caught:
        wandb_push.push(run_dir.path, 1.0)
    assert "\n" not in str(caught.value)


def test_a_linked_new_run_begins_after_the_resumed_step(
    run_dir: RunDir, server: WandbServer, environment: dict[str, str]
) -> None:
    old = state(run_dir).run_id
    begin(run_dir.sync_state, mode="online", project="p", name="run", resumes_after=2, new_run=True)
    result = push(run_dir, environment)
    assert result.returncode == 0, result.stdout + result.stderr
    new = state(run_dir).run_id
    assert new != old and state(run_dir).linked_from == [old]
    assert steps_of(server, new) == [3, 4]
    assert server.runs[new]["config"]["linked_from"]["value"] == [old]


def test_a_run_that_starts_anew_mixes_nothing_on_the_server(
    run_dir: RunDir, server: WandbServer, environment: dict[str, str]
) -> None:
    """Its checkpoints were removed after it had been sent."""
    assert push(run_dir, environment).returncode == 0
    old = state(run_dir).run_id
    run_dir.drop_metrics_after(-1)
    begin(run_dir.sync_state, mode="online", project="p", name="run", resumes_after=None)
    for step in range(2):
        run_dir.backup.write(step, {"loss": 100.0 + step})
    assert push(run_dir, environment).returncode == 0
    new = state(run_dir).run_id
    losses = {run: [row["loss"] for row in server.history(run)] for run in (old, new)}
    assert losses == {old: [0.0, 0.5, 1.0, 1.5, 2.0], new: [100.0, 101.0]}

"""The child of a task: a signal is never lost, whenever it comes."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import verl_coder.pipeline.process as process
from verl_coder.launch.supervise import Interrupted
from verl_coder.pipeline.process import last_line, run_child

ENDS_WELL = """
import os, time
while not os.path.exists(os.environ["VERL_CODER_PIPELINE"] + "/end"): time.sleep(0.01)
"""
ENDS_BY_SIGTERM = f"{ENDS_WELL}\nos.kill(os.getpid(), 15)"


@pytest.fixture(autouse=True)
def no_subreaper(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests adopts nothing: it would keep the zombies of others."""
    monkeypatch.setattr(process, "become_subreaper", lambda: None)


def once(work: Callable[[], None]) -> Callable[[], None]:
    """Do it at the first call."""
    left = [work]

    def call() -> None:
        if left:
            left.pop()()

    return call


def end_and_send(out: Path, number: int) -> None:
    """Have the child, the youngest of this process, end, and send this process a signal as soon as it has."""
    (out / "end").touch()
    child = max(psutil.Process().children(), key=lambda one: one.create_time())
    while child.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("code", [ENDS_WELL, ENDS_BY_SIGTERM])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_moment_in_which_the_child_ends_stops_the_pipeline(
    code: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CHILD", ("-c", code))
    with pytest.raises(Interrupted, match=signal.Signals(number).name):
        run_child(
            [], out=tmp_path, log=tmp_path / "log", on_poll=once(lambda: end_and_send(tmp_path, number))
        )


def test_a_signal_behind_the_end_of_the_child_stops_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CHILD", ("-c", ENDS_WELL))
    (tmp_path / "end").touch()
    monkeypatch.setattr(
        "verl_coder.launch.supervise.end_descendants", lambda keep: os.kill(os.getpid(), signal.SIGTERM)
    )
    with pytest.raises(Interrupted, match="SIGTERM"):
        run_child([], out=tmp_path, log=tmp_path / "log", on_poll=lambda: None)


def test_without_a_signal_the_status_is_the_childs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CHILD", ("-c", ENDS_BY_SIGTERM))
    (tmp_path / "end").touch()
    assert run_child([], out=tmp_path, log=tmp_path / "log", on_poll=lambda: None) == -signal.SIGTERM


def test_what_a_command_said_last_is_no_line_of_a_librarys_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    foreign = [
        "WARNING 11-29 05:08:45 [cpu_worker.py:153] CPU backend doesn't allow to use it",
        "Writing model shards: 100%|##########| 1/1 [00:00<00:00, 71.66it/s]",
        "[W1129 05:08:43.198221803 utils.cpp:68] Warning: NUMA binding",
        "nanobind: leaked 12 instances!",
    ]
    log.write_text("\n".join(["24 samples; output: out", *foreign, "┏━━┓", ""]))
    assert last_line(log) == "24 samples; output: out"
    log.write_text("\n".join(foreign))
    assert last_line(log) == foreign[-1]

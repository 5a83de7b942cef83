"""What the launcher does around training: leftovers, resume, SIGTERM."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from launch.started_folder import checkpoint
from rich.console import Console

from verl_coder.launch import launch, training_process
from verl_coder.launch.early_worker import EarlyWorker
from verl_coder.launch.plan import Plan
from verl_coder.launch.supervise import Interrupted
from verl_coder.run.run_dir import RunDir


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

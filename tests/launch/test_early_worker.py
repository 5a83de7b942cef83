"""The worker starts before the checks are done; without an order it leaves nothing, and what it says is in the log."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from verl_coder.launch import early_worker
from verl_coder.launch.early_worker import EarlyWorker
from verl_coder.launch.leftovers import RUN_MARKER
from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.run.run_dir import RunDir


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan whose folder is not there."""
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out") / "run")))


@pytest.fixture
def folder(plan: Plan) -> RunDir:
    """The run's folder, made, and empty."""
    plan.run_dir.path.mkdir(exist_ok=True)
    plan.run_dir.log.unlink(missing_ok=True)
    return plan.run_dir


def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> None:
    """A worker that runs `program`, in a module of its own."""
    (tmp_path / "a_worker.py").write_text(program)
    monkeypatch.setattr(early_worker, "MODULE", "a_worker")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))


def worker_of(early: EarlyWorker) -> psutil.Process:
    return psutil.Process(early._process.pid)


def test_without_an_order_it_is_gone_and_the_folder_is_not_there(plan: Plan, tmp_path: Path) -> None:
    with EarlyWorker(plan) as early:
        process = worker_of(early)
        assert process.is_running() and not plan.run_dir.path.exists()
    assert not process.is_running() and not plan.run_dir.path.exists()


def test_it_does_not_take_sigterm_and_has_a_session_and_the_runs_mark(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, "input()")
    with EarlyWorker(plan) as early:
        process = worker_of(early)
        assert process.environ()[RUN_MARKER] == str(plan.run_dir.path)
        process.send_signal(signal.SIGTERM)
        assert os.getsid(process.pid) == process.pid and process.is_running()
        assert process.status() != psutil.STATUS_ZOMBIE


def test_what_it_says_before_and_after_the_order_is_in_the_log(
    plan: Plan, folder: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = (
        "from verl_coder.launch.order import take_order\n"
        "print('imported', flush=True)\n"
        "order = take_order()\n"
        "import os; print(order.config, os.environ['SANDBOX_URL'], flush=True)\n"
    )
    stand_in(monkeypatch, tmp_path, program)
    with EarlyWorker(plan) as early:
        assert early.begin({"SANDBOX_URL": "http://here"}).wait(60) == 0
        early.log_words()
    # Which of the two is first depends on when the order came.
    assert sorted(folder.log.read_text().splitlines()) == sorted(["imported", f"{folder.config} http://here"])


@pytest.mark.parametrize("waits", [True, False])
def test_the_reason_of_a_death_before_the_order_is_in_the_log(
    plan: Plan, folder: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, waits: bool
) -> None:
    stand_in(monkeypatch, tmp_path, "import time; time.sleep(0.5)\nimport there_is_no_such_module\n")
    with EarlyWorker(plan) as early:
        if waits:
            early._process.wait(60)
        assert early.begin({}).wait(60) == 1
        early.log_words()
    assert "No module named 'there_is_no_such_module'" in folder.log.read_text()

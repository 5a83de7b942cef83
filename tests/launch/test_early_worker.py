"""The worker starts before the checks are done; without an order it leaves nothing, and what it says is in the log."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from verl_coder.launch import early_worker
from verl_coder.launch.early_worker import EarlyWorker
from verl_coder.launch.leftovers import RUN_MARKER
from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.launch.supervise import _blocks_sigterm
from verl_coder.launch.surroundings import places
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


@pytest.fixture
def nowhere(plan: Plan, tmp_path: Path) -> Plan:
    """The plan with a folder that is not there."""
    return replace(plan, run_dir=RunDir(tmp_path / "not_there"))


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    return path.read_text()


WAITS = (
    "import sys\nfrom pathlib import Path\nfrom verl_coder.launch.order import take_order\n"
    "Path({ready!r}).write_text(sys.argv[1])\ntake_order()\nPath({ended!r}).write_text('no order')\n"
)


def test_a_worker_that_waits_without_an_order_is_gone_and_the_folder_is_not_there(
    nowhere: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready, ended = tmp_path / "ready", tmp_path / "ended"
    stand_in(monkeypatch, tmp_path, WAITS.format(ready=str(ready), ended=str(ended)))
    with EarlyWorker(nowhere) as early:
        assert wait_for(ready) == str(os.getpid()), "whose end it is to see"
        process = worker_of(early)
        assert process.is_running()
    assert not process.is_running() and not nowhere.run_dir.path.exists() and not ended.exists()


def test_it_blocks_sigterm_and_has_a_session_of_its_own(
    nowhere: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    stand_in(monkeypatch, tmp_path, WAITS.format(ready=str(ready), ended=str(tmp_path / "ended")))
    with EarlyWorker(nowhere) as early:
        wait_for(ready)
        process = worker_of(early)
        assert _blocks_sigterm(process.pid) and os.getsid(process.pid) == process.pid


def test_until_its_order_comes_it_is_no_leftover_of_the_folder(
    nowhere: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another start, which holds the folder, would kill it."""
    stand_in(monkeypatch, tmp_path, "input()")
    with EarlyWorker(nowhere) as early:
        assert RUN_MARKER not in worker_of(early).environ()
    assert places(nowhere, "url", tmp_path)[RUN_MARKER] == str(nowhere.run_dir.path)


def test_an_order_with_many_variables_waits_for_nobody(
    plan: Plan, folder: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, "import time; time.sleep(600)")
    with EarlyWorker(plan) as early:
        began = time.monotonic()
        early.begin({"LARGE": "x" * 500_000})
        assert time.monotonic() - began < 30


def test_a_full_disk_does_not_stop_who_reads_its_words(
    nowhere: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, "print('words', flush=True)\n")
    with EarlyWorker(nowhere) as early:
        early._process.wait(60)
        early.log_words()  # there is no folder
        nowhere.run_dir.path.mkdir()
        early.log_words()
    assert nowhere.run_dir.log.read_text() == "words\n"


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

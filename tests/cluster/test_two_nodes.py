"""Two Ray nodes on this machine train the tiny recipe; one is killed (SIGKILL) in the middle, and the run goes on.

Minutes and about 14 GB of memory: only with `-m cluster`.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from verl_coder.paths import repository_root

ROOT = repository_root()
SCRIPT = "run_scripts/start_ray_cluster.sh"
PORT = "6391"
STEPS = 6
WAIT_S = 900.0

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]


@pytest.fixture(autouse=True)
def only_when_named(request: pytest.FixtureRequest) -> None:
    if "cluster" not in request.config.option.markexpr:
        pytest.skip("two Ray nodes need minutes and 14 GB: pytest -m cluster")


class Nodes:
    """The script's processes, each in a session of its own, and what they print."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "PROFILE": "cpu", "PORT": PORT, "IP": "127.0.0.1", "CHECKS": "", "MIN_S": "30",
            "RAY_AUTH_TOKEN_PATH": str(self._folder / "token"), **variables
        }  # fmt: skip
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", SCRIPT, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        for process in reversed(self._processes):
            with_children = (
                [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
            )
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for child in with_children:
                if child.is_running():
                    child.kill()


@pytest.fixture
def nodes(tmp_path: Path):  # type: ignore[no-untyped-def]
    found = Nodes(tmp_path)
    yield found
    found.end()


def _steps(out: Path) -> list[int]:
    path = out / "metrics.jsonl"
    return [json.loads(line)["step"] for line in path.read_text().splitlines()] if path.is_file() else []


def _raylet_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    return next(
        child for child in psutil.Process(process.pid).children(recursive=True) if child.name() == "raylet"
    )


def test_a_node_that_is_killed_in_training_is_waited_for_and_the_run_goes_on(
    nodes: Nodes, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    nodes.start("head", "head")
    worker = nodes.start("worker", "worker", HEAD="127.0.0.1")
    run = nodes.start(
        "run", "run", "bash", "run_scripts/run_qwen_grpo.sh",
        f"trainer.total_training_steps={STEPS}", "trainer.save_freq=1", "trainer.test_freq=-1",
        "trainer.val_before_train=false",
        RECIPE="tiny_cpu", OUT=str(out), NODES="2",
    )  # fmt: skip
    deadline = time.monotonic() + WAIT_S
    while len(_steps(out)) < 2:
        assert run.poll() is None and time.monotonic() < deadline, nodes.log("run")
        time.sleep(1)
    _raylet_of(worker).send_signal(signal.SIGKILL)
    assert run.wait(2 * WAIT_S) == 0, nodes.log("run")
    assert "again, when 2 machines are there" in nodes.log("run")
    assert [step for step in _steps(out) if step] == list(range(1, STEPS + 1))
    assert json.loads((out / "summary.json").read_text())["steps"] == STEPS

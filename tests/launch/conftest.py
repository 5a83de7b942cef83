"""A folder with step files, a plan with such a folder, and the environment of a W&B client of the scripted server."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from launch.wandb_server import WandbServer, wandb_server

from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.run.run_dir import RunDir
from verl_coder.run.sync_state import begin


@pytest.fixture
def server() -> Iterator[WandbServer]:
    """See wandb_server.py."""
    with wandb_server() as running:
        yield running


@pytest.fixture
def environment(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Environment in which wandb finds the scripted server and a key, and its client sends every second.

    By itself it sends every 15 s, and so it does where this is less than a second.
    """
    for name, value in {
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_ENTITY": "tests",
        "WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return dict(os.environ)


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    """A run of steps 0 to 4."""
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    begin(run.sync_state, mode="online", project="p", name="run", resumes_after=None)
    for step in range(5):
        run.backup.write(step, {"loss": step / 2})
    return run


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

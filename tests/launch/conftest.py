"""A run folder with step files, and the environment of a W&B client that talks to the scripted server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from launch.wandb_server import WandbServer, wandb_server

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

"""A run that was stopped goes on to the same numbers, and what may not change meanwhile is refused."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from verl_coder.run.checkpoint_files import TRACKER
from verl_coder.tiny.build import BASE
from verl_coder.tiny.problems import problems
from verl_coder.tiny.trace_file import write_trace_rows
from verl_coder.tiny.traces import write_traces

_STEPS = 20
"""Of five epochs of four."""


def _command(folder: Path, *more: str) -> list[str]:
    """Sixteen training traces and four held-out ones, four a step."""
    return [
        *(sys.executable, "-m", "verl_coder.cli", "sft", "--model", str(BASE), "--profile", "cpu"),
        *("--traces", str(folder / "t.parquet"), "--batch-size", "4", "--val-share", "0.2", "--epochs", "5"),
        *("--learning-rate", "1e-3", "--micro-tokens", "160"),
        *more,
    ]


def _run(command: list[str], out: Path) -> str:
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def _losses(out: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len({(r["step"], tuple(r["data"])) for r in lines}) == len(lines)  # no step is told twice
    return {r["step"]: r["data"]["train/loss"] for r in lines if "train/loss" in r["data"]}


def _stop(command: list[str], out: Path, number: signal.Signals) -> str:
    """Start, send the signal when there is a new checkpoint, and return what was said."""
    tracker = out / "checkpoints" / TRACKER
    before = tracker.read_text() if tracker.is_file() else ""
    process = subprocess.Popen(
        [*command, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not tracker.is_file() or tracker.read_text() == before:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == (0 if number == signal.SIGTERM else -number)
    return said


@pytest.mark.e2e
def test_a_stopped_run_ends_in_the_same_weights(tmp_path: Path) -> None:
    """Killed where an epoch ends, then stopped within one: metrics and merged weights are those of one that was not."""
    write_trace_rows(
        write_traces(problems("rl", 20, seed=0), seed=0, direct_share=1.0), tmp_path / "t.parquet"
    )
    command = _command(tmp_path, "--lora-rank", "4", "trainer.save_freq=4")
    _run(command, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    _stop(command, stopped, signal.SIGKILL)
    said = _stop(command, stopped, signal.SIGTERM)
    assert "resuming" in said and "which is saved; the same command goes on" in said
    other = subprocess.run([*command, "--seed", "1", "--out", str(stopped)], capture_output=True, text=True)
    assert other.returncode == 1 and "seed was 0, is 1" in other.stderr
    assert "resuming" in _run(command, stopped)
    losses = _losses(stopped)
    assert len(losses) == _STEPS and losses == _losses(tmp_path / "whole")
    ours, theirs = (
        load_file(folder / "model" / "model.safetensors") for folder in (stopped, tmp_path / "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not (stopped / "checkpoints").exists()

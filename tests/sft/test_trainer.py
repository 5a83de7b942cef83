"""A run writes a model that has learnt; one that was stopped goes on to the same numbers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from verl_coder.cli import app
from verl_coder.run.checkpoint_files import TRACKER
from verl_coder.teacher.trace_file import write_traces
from verl_coder.tiny.build import BASE
from verl_coder.tiny.problems import problems
from verl_coder.tiny.traces import write_traces as traced

_STEPS = 16
"""Of four epochs of four."""


def _command(folder: Path, *more: str) -> list[str]:
    """Sixteen training traces and four held-out ones, four a step."""
    return [
        *(sys.executable, "-m", "verl_coder.cli", "sft", "--model", str(BASE), "--profile", "cpu"),
        *("--traces", str(folder / "t.parquet"), "--batch-size", "4", "--val-share", "0.2", "--epochs", "4"),
        *("--learning-rate", "1e-3", "--micro-tokens", "160"),
        *more,
    ]


def _losses(out: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len({(r["step"], tuple(r["data"])) for r in lines}) == len(lines)  # no step is told twice
    return {r["step"]: r["data"]["train/loss"] for r in lines if "train/loss" in r["data"]}


def _kill(command: list[str], out: Path) -> None:
    """Start, and kill it when there is a checkpoint."""
    process = subprocess.Popen(
        [*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    _wait_for_checkpoint(out, "", process)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL


def _told(tracker: Path) -> str:
    try:
        return tracker.read_text()
    except FileNotFoundError:  # not yet, or no longer: the folder goes at a run's end
        return ""


def _wait_for_checkpoint(out: Path, before: str, process: subprocess.Popen[bytes] | None = None) -> None:
    tracker = out / "checkpoints" / TRACKER
    deadline = time.monotonic() + 120
    while _told(tracker) in ("", before):
        assert time.monotonic() < deadline and (process is None or process.poll() is None)
        time.sleep(0.02)


def _terminate_at_a_checkpoint(out: Path) -> threading.Thread:
    """A thread that sends this process SIGTERM when there is a checkpoint behind that of now."""

    def send(before: str) -> None:
        _wait_for_checkpoint(out, before)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send, args=((out / "checkpoints" / TRACKER).read_text(),), daemon=True)
    thread.start()
    return thread


def _check_whole(out: Path) -> None:
    """A finished run has learnt, and its folder holds a model that loads."""
    result = json.loads((out / "summary.json").read_text())
    assert result["steps"] == _STEPS and result["data"]["held_out"] == 4
    assert result["validation_loss"]["after"] < result["validation_loss"]["before"]
    assert result["saved"]["merge_difference"] < 1e-3
    left = [path.name for path in out.iterdir() if path.name != ".lock"]
    assert sorted(left) == ["metrics.jsonl", "model", "sft.log", "summary.json"]
    model = AutoModelForCausalLM.from_pretrained(out / "model")
    assert model.dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(BASE).chat_template


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_stopped_run_ends_in_the_same_weights(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Killed where an epoch ends, then stopped within one: metrics and merged weights are those of one that was not."""
    # The shipped model never gives this answer: there is something to learn.
    rows = [
        {
            "problem_id": trace.problem.problem_id,
            "messages": [*trace.messages[:-1], {"role": "assistant", "content": "pass"}],
        }
        for trace in traced(problems("rl", 20, seed=0), seed=0, direct_share=1.0)
    ]
    write_traces(rows, tmp_path / "t.parquet")
    command = _command(tmp_path, "--lora-rank", "4", "trainer.save_freq=4", "optim.lr_warmup_steps_ratio=0")
    # What it needs is imported here already: two thirds of a start.
    app([*command[3:], "--out", str(tmp_path / "whole")], standalone_mode=False)
    _check_whole(tmp_path / "whole")
    stopped = tmp_path / "stopped"
    _kill(command, stopped)
    capfd.readouterr()
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # where the run has just ended it is for nobody
    terminated = _terminate_at_a_checkpoint(stopped)
    app([*command[3:], "--out", str(stopped)], standalone_mode=False)
    terminated.join(timeout=60)
    signal.signal(signal.SIGTERM, before)
    said = capfd.readouterr().out
    assert "resuming" in said and "which is saved; the same command goes on" in said
    app([*command[3:], "--out", str(stopped)], standalone_mode=False)
    assert "resuming" in capfd.readouterr().out
    losses = _losses(stopped)
    assert len(losses) == _STEPS and losses == _losses(tmp_path / "whole")
    ours, theirs = (
        load_file(folder / "model" / "model.safetensors") for folder in (stopped, tmp_path / "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not (stopped / "checkpoints").exists()

"""The whole pipeline on the tiny problems: real SFT, Ray, vLLM and evaluation; killed (-9) in the middle of SFT."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

_PIPELINE = {
    "model": "src/verl_coder/tiny/base",
    "recipe": "tiny_cpu",
    "max_response_length": 192,
    "data": {"datasets": {"sample": {"train": 16, "val": 8}}},
    "teacher": {"tiny": {"problems": 16}},
    "sft": {"epochs": 1, "batch_size": 8, "val_share": 0.0, "learning_rate": 1e-4},
    "train": {
        "overrides": [
            "trainer.total_training_steps=1",
            "trainer.save_freq=1",
            "trainer.test_freq=-1",
            "trainer.val_before_train=false",
            "data.train_batch_size=8",
            "actor_rollout_ref.actor.ppo_mini_batch_size=8",
            "actor_rollout_ref.rollout.n=4",
            "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=32",
            "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=32",
        ]
    },
    "evaluate": {"models": ["sft", "trained"]},
    "report": None,
}


@dataclass(frozen=True)
class WholePipeline:
    """What the starts showed, and where they wrote."""

    out: str
    killed: str
    second: str
    third: str


def _start(folder: Path) -> "subprocess.Popen[str]":
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump({**_PIPELINE, "out": str(folder)}))
    command = [sys.executable, "-m", "verl_coder.cli", "pipeline", "--config", str(path)]
    environment = {**os.environ, "PROFILE": "cpu", "COLUMNS": "160", "WANDB_MODE": "offline"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _ended(process: "subprocess.Popen[str]") -> str:
    shown, _ = process.communicate(timeout=1500)
    assert process.returncode == 0, shown
    return shown


def run_whole_pipeline(folder: Path) -> WholePipeline:
    """Start, kill as soon as SFT is at work, start again to the end, start a third time."""
    out = folder / "pipeline" / "out"
    out.parent.mkdir()
    first = _start(out)
    while not (out / "sft" / "sft.log").exists() and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    killed, _ = first.communicate()
    second, third = _ended(_start(out)), _ended(_start(out))
    return WholePipeline(out=str(out), killed=killed, second=second, third=third)

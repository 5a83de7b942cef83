"""The whole pipeline on the tiny problems: real SFT, Ray, vLLM and evaluation; killed (-9) in the middle of SFT."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from report.folders import read_script

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

PIPELINE = {
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
TASKS = ["data/sample", "teacher", "sft", "train", "train/export"]
TASKS += ["evaluate/sft", "evaluate/trained", "evaluate/compare", "report"]


@dataclass(frozen=True)
class WholePipeline:
    """What the starts showed, and where they wrote."""

    out: Path
    killed: str
    second: str
    third: str


def start(config: dict, folder: Path, *stages: str) -> "subprocess.Popen[str]":
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump({**config, "out": str(folder)}))
    command = [sys.executable, "-m", "verl_coder.cli", "pipeline", "--config", str(path), *stages]
    environment = {**os.environ, "PROFILE": "cpu", "COLUMNS": "160", "WANDB_MODE": "offline"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(process: "subprocess.Popen[str]") -> str:
    shown, _ = process.communicate(timeout=1500)
    assert process.returncode == 0, shown
    return shown


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WholePipeline:
    out = tmp_path_factory.mktemp("pipeline") / "out"
    first = start(PIPELINE, out)
    while not (out / "sft" / "sft.log").exists() and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    killed, _ = first.communicate()
    second, third = ended(start(PIPELINE, out)), ended(start(PIPELINE, out))
    return WholePipeline(out=out, killed=killed, second=second, third=third)


def words(shown: str) -> dict[str, str]:
    """Task -> run or skip, as the terminal showed it."""
    found = {}
    for line in shown.splitlines():
        parts = line.split()
        if len(parts) > 1 and parts[0] in TASKS and parts[1] in ("run", "skip"):
            found[parts[0]] = parts[1]
    return found


def test_a_kill_in_sft_repeats_no_stage_before_it(whole: WholePipeline) -> None:
    assert words(whole.killed) == {"data/sample": "run", "teacher": "run", "sft": "run"}
    assert words(whole.second) == {task: "skip" if task in TASKS[:2] else "run" for task in TASKS}
    assert "sft               run   goes on: start 1 did not end" in whole.second


def test_the_same_command_once_more_does_nothing(whole: WholePipeline) -> None:
    assert words(whole.third) == dict.fromkeys(TASKS, "skip")


def test_every_stage_made_what_it_is_for(whole: WholePipeline) -> None:
    summary = json.loads((whole.out / "train" / "summary.json").read_text())
    assert summary["steps"] == 1
    assert (whole.out / "model" / "model.safetensors").stat().st_size > 1_000_000
    rates = json.loads((whole.out / "pipeline.json").read_text())["pass_at_1"]
    assert set(rates) == {"sft", "trained"}
    assert "pass@1: sft " in whole.second
    comparison = json.loads((whole.out / "evaluate" / "comparison.json").read_text())
    assert comparison["comparisons"][0]["problems"] == 8


def test_one_page_shows_all_of_it(whole: WholePipeline) -> None:
    site = json.dumps(read_script(whole.out / "report" / "data" / "site.js", "site"))
    assert f"page: {(whole.out / 'report' / 'index.html').as_uri()}" in whole.second
    for name in ("sft", "train", "evaluate/sft", "evaluate/trained"):
        assert str(whole.out / name) in site


def test_each_stage_has_a_log(whole: WholePipeline) -> None:
    assert sorted(path.stem for path in (whole.out / "logs").iterdir()) == [
        "data",
        "evaluate",
        "report",
        "sft",
        "teacher",
        "train",
    ]

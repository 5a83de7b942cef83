"""One run of verl's SFT trainer as a child process, with its progress: the only place that starts it."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_coder.errors import VerlCoderError
from verl_coder.launch.supervise import reason_in_log, run_supervised
from verl_coder.platform.environment import CPU_ENVIRONMENT, cpu_platform_selected

METRICS, LOG, CHECKPOINT = "metrics.jsonl", "sft.log", "checkpoint"
_LINE_EVERY_S = 10.0

DEVICE = {
    "cpu": {
        "model.external_lib": "verl_coder.platform.fsdp_cpu",
        "engine.use_torch_compile": False,
        # bfloat16 autocast would round a loss that has to reach 0.01.
        "+engine.mixed_precision.param_dtype": "fp32",
        "+engine.mixed_precision.reduce_dtype": "fp32",
        "trainer.device": "cpu",
    },
    "gpu": {
        "model.external_lib": "verl_coder.platform.fsdp_gpu",
        "engine.use_torch_compile": False,
        # float32 weights and optimizer, the passes in bfloat16.
        "engine.model_dtype": "fp32",
        "+engine.mixed_precision.param_dtype": "bf16",
        "+engine.mixed_precision.reduce_dtype": "fp32",
        "trainer.device": "cuda",
    },
}
"""Profile -> keys of verl's `sft_trainer_engine`."""


def train(
    overrides: Mapping[str, Any], *, workdir: Path, steps: int, profile: str, name: str, description: str
) -> Path:
    """Train for `steps`, and return the folder of the trained model; VerlCoderError says why not.

    `workdir` gets sft.log, metrics.jsonl and checkpoint/. Interrupted where the user stops it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    log, metrics = workdir / LOG, workdir / METRICS
    log.unlink(missing_ok=True)
    metrics.unlink(missing_ok=True)
    whole = merge({**_common(workdir, steps, name), **DEVICE[profile]}, overrides)
    with SftProgress(metrics, steps, description) as progress:
        status = run_supervised(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"),
                "--local-addr=127.0.0.1",  # a machine without a network may not know its own name
                *("-m", "verl_coder.sft.trainer"),
                *(f"{key}={value}" for key, value in whole.items()),
            ],
            environment=_environment(profile, metrics),
            log=log,
            on_poll=progress.poll,
        )
        progress.poll(last=True)
    if status:
        reason = reason_in_log(log)
        hint = "; fewer tokens at a time need less memory: --micro-tokens" if "OutOfMemory" in reason else ""
        raise VerlCoderError(
            f"{description}: verl's SFT trainer ended with status {status}: {reason} (all of it is in {log}){hint}"
        )
    folder = workdir / CHECKPOINT / f"global_step_{steps}" / "huggingface"
    if not (folder / "config.json").is_file():
        raise VerlCoderError(f"{description}: no model in {folder}; see {log}")
    return folder


def merge(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with the overrides in place of those of the same key, with or without a plus."""
    given = {key.lstrip("+") for key in overrides}
    return {**{k: v for k, v in defaults.items() if k.lstrip("+") not in given}, **overrides}


def _common(workdir: Path, steps: int, name: str) -> dict[str, Any]:
    """What every run of the trainer is given."""
    return {
        "data.num_workers": 0,
        "engine": "fsdp",
        "engine.strategy": "fsdp2",
        "optim": "fsdp",
        "checkpoint.save_contents": "[hf_model]",
        "trainer.default_local_dir": workdir / CHECKPOINT,
        "trainer.project_name": "verl-coder",
        "trainer.experiment_name": name,
        "trainer.total_training_steps": steps,
        "trainer.logger": "[file]",
        "trainer.resume_mode": "disable",
        "hydra.run.dir": workdir,
        "hydra.output_subdir": "null",
        "hydra/job_logging": "stdout",  # into sft.log
    }


def _environment(profile: str, metrics: Path) -> dict[str, str]:
    """The child's environment: the model and its tokenizer are on the disk by now."""
    environment = {**os.environ, "VERL_FILE_LOGGER_PATH": str(metrics), "HF_HUB_OFFLINE": "1"}
    if profile == "cpu":
        threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1))
        return {**environment, **CPU_ENVIRONMENT, "OMP_NUM_THREADS": threads}
    if cpu_platform_selected():
        for key in CPU_ENVIRONMENT:
            environment.pop(key, None)
    return environment


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of the trainer's metrics file, `{"step", "data"}` each; none before it is there."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


class SftProgress:
    """A bar with the last loss; where the output is no terminal, a line now and then."""

    def __init__(self, metrics: Path, steps: int, description: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._metrics, self._steps, self._description = metrics, steps, description
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )
        self._task = self._bar.add_task(description, total=steps, loss="")
        self._shown_step, self._shown_at = 0, 0.0

    def __enter__(self) -> "SftProgress":
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar.console.is_terminal:
            self._bar.stop()

    def poll(self, *, last: bool = False) -> None:
        """Show the newest step."""
        records = [r for r in read_metrics(self._metrics) if "train/loss" in r["data"]]
        if not records:
            return
        step, loss = int(records[-1]["step"]), f"loss {records[-1]['data']['train/loss']:.3f}"
        self._bar.update(self._task, completed=step, loss=loss)
        due = last or step == 1 or time.monotonic() - self._shown_at >= _LINE_EVERY_S
        if not self._bar.console.is_terminal and step > self._shown_step and due:
            print(f"{self._description}: step {step}/{self._steps}  {loss}", flush=True)
            self._shown_step, self._shown_at = step, time.monotonic()

"""One run of verl's SFT trainer as a child process, with its progress: the only place that starts it."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from verl_coder.consoles import PlainConsole
from verl_coder.errors import VerlCoderError
from verl_coder.launch.recipe import quoted
from verl_coder.launch.supervise import reason_in_log, run_supervised
from verl_coder.platform.allocator import allocator_environment
from verl_coder.platform.environment import CPU_ENVIRONMENT, cpu_platform_selected
from verl_coder.run.checkpoint_files import step_folder
from verl_coder.run.notices import NoticeReader
from verl_coder.run.run_dir import RunDir

LOG = "sft.log"
SAVE_EVERY_S = 600
"""Seconds after which a checkpoint is written, where none came before: what a kill costs at most."""
_LINE_EVERY_S = 10.0
_ALONE = {
    "RANK": "0",
    "WORLD_SIZE": "1",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "0",  # any free one
}
"""A process group of one."""

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
    overrides: Mapping[str, Any], *, run_dir: RunDir, steps: int, profile: str, name: str, description: str
) -> Path | None:
    """Train to `steps`, and return the checkpoint; None where SIGTERM asked for an end, VerlCoderError says why not.

    The folder gets sft.log, metrics.jsonl and checkpoints/, from the last of which a run goes on. Interrupted where
    the user stops it.
    """
    run_dir.path.mkdir(parents=True, exist_ok=True)
    log = run_dir.path / LOG
    for left in (run_dir.stop_request, run_dir.stopped):
        left.unlink(missing_ok=True)
    begins = log.stat().st_size if log.is_file() else 0
    with SftProgress(run_dir, steps, description) as progress:
        status = run_supervised(
            [
                *(sys.executable, "-m", "verl_coder.sft.child", str(os.getpid())),
                *hydra_overrides(overrides, run_dir=run_dir, steps=steps, profile=profile, name=name),
            ],
            environment=_environment(profile, run_dir.metrics),
            log=log,
            on_poll=progress.poll,
            on_terminate=progress.ask_to_stop,
            sigterm_for_us_alone=True,
        )
        progress.poll(last=True)
    if status:
        raise VerlCoderError(f"{description}: {_why(status, log, begins)} (all of it is in {log})")
    if run_dir.stopped.is_file():
        return None
    folder = step_folder(run_dir.checkpoints, steps)
    if not folder.is_dir():
        raise VerlCoderError(f"{description}: no checkpoint {folder}; see {log}")
    return folder


def hydra_overrides(
    overrides: Mapping[str, Any], *, run_dir: RunDir, steps: int, profile: str, name: str
) -> list[str]:
    """All that the child is told of verl's configuration, as `key=value`."""
    whole = merge({**_common(run_dir, steps, name), **DEVICE[profile]}, overrides)
    return [f"{key}={_value(value)}" for key, value in whole.items()]


def _value(value: Any) -> Any:
    """As Hydra reads it: a path may hold =, commas and parentheses; a text is an override, and quoted by its author."""
    return quoted(str(value)) if isinstance(value, Path) else value


def _why(status: int, log: Path, begins: int) -> str:
    if status == -signal.SIGKILL:
        return (
            "the trainer was killed, as the system does when memory is short: see --micro-tokens, --lora-rank"
        )
    reason = reason_in_log(log, begins)
    hint = "; fewer tokens at a time need less memory: --micro-tokens" if "OutOfMemory" in reason else ""
    return f"verl's SFT trainer ended with status {status}: {reason}{hint}"


def merge(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with the overrides in place of those of the same key; a plus of either stays."""
    given = {key.lstrip("+"): key for key in overrides}
    merged = {key: value for key, value in defaults.items() if key.lstrip("+") not in given}
    known = {key.lstrip("+"): key for key in defaults}
    return merged | {max(key, known.get(key.lstrip("+"), ""), key=len): v for key, v in overrides.items()}


def _common(run_dir: RunDir, steps: int, name: str) -> dict[str, Any]:
    """What every run of the trainer is given."""
    return {
        "data.num_workers": 0,
        "engine": "fsdp",
        "engine.strategy": "fsdp2",
        "optim": "fsdp",
        "trainer.default_local_dir": run_dir.checkpoints,
        "trainer.project_name": "verl-coder",
        "trainer.experiment_name": quoted(name),
        "trainer.total_training_steps": steps,
        "trainer.logger": "[file]",
        "trainer.resume_mode": "auto",
        "+trainer.save_every_s": SAVE_EVERY_S,
        "hydra.run.dir": run_dir.path,
        "hydra.output_subdir": "null",
        "hydra/job_logging": "stdout",  # into sft.log
    }


def _environment(profile: str, metrics: Path) -> dict[str, str]:
    """The child's environment: the model and its tokenizer are on the disk by now."""
    environment = {**os.environ, **_ALONE, "VERL_FILE_LOGGER_PATH": str(metrics), "HF_HUB_OFFLINE": "1"}
    if profile == "cpu":
        threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1))
        return {**environment, **CPU_ENVIRONMENT, **allocator_environment(), "OMP_NUM_THREADS": threads}
    if cpu_platform_selected():
        for key in CPU_ENVIRONMENT:
            environment.pop(key, None)
    return environment


class SftProgress:
    """A bar with the last loss; where the output is no terminal, a line now and then."""

    def __init__(self, run_dir: RunDir, steps: int, description: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._run_dir, self._steps, self._description = run_dir, steps, description
        self._notices = NoticeReader(run_dir.notices)
        self._first, _ = self._last_step()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}", markup=False),
            console=PlainConsole(),
        )
        self._task = self._bar.add_task(description, total=steps, completed=self._first, loss="loading")
        self._shown_step, self._shown_at, self._began = self._first, 0.0, time.monotonic()

    def __enter__(self) -> "SftProgress":
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar.console.is_terminal:
            self._bar.stop()

    def ask_to_stop(self) -> bool:
        """Ask the trainer to save after its step and end; False before the first step, with nothing to save."""
        if self._last_step()[0] == self._first:
            return False
        self._run_dir.stop_request.touch()
        with suppress(OSError):
            self._bar.console.print(
                "SIGTERM: saving a checkpoint after this step, then ending (a second one ends at once)",
                highlight=False,
                soft_wrap=True,
            )
        return True

    def _last_step(self) -> tuple[int, float]:
        """The newest step and its loss; 0 where there is none."""
        for record in reversed(self._run_dir.read_metrics()):
            if "train/loss" in record["data"]:
                return int(record["step"]), float(record["data"]["train/loss"])
        return 0, 0.0

    def poll(self, *, last: bool = False) -> None:
        """Show the newest step, and what was warned of."""
        for text in self._notices.new():
            self._bar.console.print(text, highlight=False, soft_wrap=True)
        step, value = self._last_step()
        if step <= self._first:
            return
        loss = f"loss {value:.3f}"
        self._bar.update(self._task, completed=step, loss=loss)
        due = last or self._shown_step == self._first or time.monotonic() - self._shown_at >= _LINE_EVERY_S
        if not self._bar.console.is_terminal and step > self._shown_step and due:
            left = (time.monotonic() - self._began) / (step - self._first) * (self._steps - step)
            told = f", {left / 60:.0f} min left" if left >= 60 else ""
            print(f"{self._description}: step {step}/{self._steps}  {loss}{told}", flush=True)
            self._shown_step, self._shown_at = step, time.monotonic()

"""One run of verl's own SFT trainer on the CPU, as a child process with a progress bar."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.errors import VerlCoderError
from verl_coder.launch.supervise import run_supervised
from verl_coder.platform.environment import CPU_ENVIRONMENT
from verl_coder.problems import Message

MESSAGES_SCHEMA = pa.schema(
    [("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))]
)
"""What verl's multi-turn SFT dataset reads. Tool calls stand in the content, in hermes form."""


@dataclass(frozen=True, kw_only=True)
class SftSettings:
    """One pass over a Parquet file of `messages`; the loss counts the assistant's tokens only."""

    model: Path
    train_file: Path
    workdir: Path
    steps: int
    batch_size: int
    learning_rate: float
    min_lr_ratio: float
    warmup_steps: int
    seed: int
    max_length: int = 384


def write_messages(conversations: Iterable[Iterable[Message]], path: Path) -> None:
    """Write conversations as the trainer's Parquet file."""
    rows = [{"messages": list(messages)} for messages in conversations]
    pq.write_table(pa.Table.from_pylist(rows, schema=MESSAGES_SCHEMA), path, compression="zstd")


def run_sft(settings: SftSettings, *, description: str) -> Path:
    """Train, and return the folder of the trained model in Hugging Face's format; VerlCoderError if it fails."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    settings.workdir.mkdir(parents=True, exist_ok=True)
    log_path, metrics_path = settings.workdir / "sft.log", settings.workdir / "metrics.jsonl"
    environment = {
        **os.environ,
        **CPU_ENVIRONMENT,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1)),
        "VERL_FILE_LOGGER_PATH": str(metrics_path),
        "HF_HUB_OFFLINE": "1",
    }
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(description, total=settings.steps, loss="")

        def show() -> None:
            step, loss = _last_step(metrics_path)
            progress.update(task, completed=step, loss=f"loss {loss:.3f}" if step else "")

        status = run_supervised(_command(settings), environment=environment, log=log_path, on_poll=show)
        show()
    if status:
        lines = log_path.read_text().strip().splitlines()
        raise VerlCoderError(
            f"{description}: verl's SFT trainer ended with status {status}: "
            f"{lines[-1] if lines else 'no output'} (all of it is in {log_path})"
        )
    folder = settings.workdir / "checkpoint" / f"global_step_{settings.steps}" / "huggingface"
    if not (folder / "config.json").is_file():
        raise VerlCoderError(f"{description}: no model in {folder}; see {log_path}")
    return folder


def _command(settings: SftSettings) -> list[str]:
    """torchrun with one worker; every key is one of verl's `sft_trainer_engine`."""
    overrides = {
        "data.train_files": settings.train_file,
        "data.train_batch_size": settings.batch_size,
        "data.micro_batch_size_per_gpu": settings.batch_size,
        "data.use_dynamic_bsz": False,
        "data.max_length": settings.max_length,
        "data.num_workers": 0,
        "model.path": settings.model,
        "model.external_lib": "verl_coder.platform.fsdp_cpu",
        "model.use_remove_padding": False,
        "model.enable_gradient_checkpointing": False,
        "+model.override_config.attn_implementation": "sdpa",
        "engine": "fsdp",
        "engine.strategy": "fsdp2",
        "engine.use_torch_compile": False,
        # bfloat16 autocast would round a loss that has to reach 0.01.
        "+engine.mixed_precision.param_dtype": "fp32",
        "+engine.mixed_precision.reduce_dtype": "fp32",
        "engine.seed": settings.seed,
        "optim": "fsdp",
        "optim.lr": settings.learning_rate,
        "optim.betas": "[0.9,0.98]",
        "optim.lr_scheduler_type": "cosine",
        "optim.lr_warmup_steps": settings.warmup_steps,
        "optim.min_lr_ratio": settings.min_lr_ratio,
        "checkpoint.save_contents": "[hf_model]",
        "trainer.default_local_dir": settings.workdir / "checkpoint",
        "trainer.project_name": "verl-coder",
        "trainer.experiment_name": "tiny",
        "trainer.total_epochs": 1,
        "trainer.total_training_steps": settings.steps,
        "trainer.logger": "[file]",
        "trainer.resume_mode": "disable",
        "trainer.device": "cpu",
        "trainer.seed": settings.seed,
    }
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"),
        *("-m", "verl.trainer.sft_trainer"),
        *(f"{key}={value}" for key, value in overrides.items()),
        f"hydra.run.dir={settings.workdir}",
    ]


def _last_step(metrics_path: Path) -> tuple[int, float]:
    """(step, loss) of the last whole line of verl's metrics file; (0, 0) before the first."""
    try:
        lines = metrics_path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return 0, 0.0
    if len(lines) < 2:
        return 0, 0.0
    record = json.loads(lines[-2])
    return int(record["step"]), float(record["data"].get("train/loss", 0.0))

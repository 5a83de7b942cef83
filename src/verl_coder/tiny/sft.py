"""The tiny model's SFT: the recipe of its overrides; `sft/process.py` runs the trainer."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.launch.supervise import Interrupted
from verl_coder.problems import Message
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.process import train

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
    checkpoint = train(
        _overrides(settings),
        run_dir=RunDir(settings.workdir),
        steps=settings.steps,
        profile="cpu",
        name="tiny",
        description=description,
    )
    if checkpoint is None:
        raise Interrupted("SIGTERM")
    return checkpoint / "huggingface"


def _overrides(settings: SftSettings) -> dict[str, Any]:
    """Keys of verl's `sft_trainer_engine`. The dataset is verl's own: the shipped model was made with it."""
    return {
        "data.train_files": settings.train_file,
        "data.train_batch_size": settings.batch_size,
        "data.micro_batch_size_per_gpu": settings.batch_size,
        "data.use_dynamic_bsz": False,
        "data.max_length": settings.max_length,
        "model.path": settings.model,
        "model.use_remove_padding": False,
        "model.enable_gradient_checkpointing": False,
        "+model.override_config.attn_implementation": "sdpa",
        "checkpoint.save_contents": "[hf_model]",
        "engine.seed": settings.seed,
        "optim.lr": settings.learning_rate,
        "optim.betas": "[0.9,0.98]",
        "optim.lr_scheduler_type": "cosine",
        "optim.lr_warmup_steps": settings.warmup_steps,
        "optim.min_lr_ratio": settings.min_lr_ratio,
        "trainer.total_epochs": 1,
        "trainer.seed": settings.seed,
    }

"""What `verl-coder sft` is asked for, checked before anything is loaded, and its words for verl's trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_coder.chat_template import template_options
from verl_coder.errors import ConfigError
from verl_coder.sft.process import merge
from verl_coder.words import counted

PROFILES = ("cpu", "gpu")
MICRO_TOKENS = {"cpu": 2048, "gpu": 8192}
"""Tokens in one pass: with 152k words of a vocabulary their logits take 1.2 GB in float32, and 5 GB."""

OWNED = {
    "data.train_files": "--traces",
    "data.val_files": "--validation",
    "data.train_batch_size": "--batch-size",
    "data.max_token_len_per_gpu": "--micro-tokens",
    "model.path": "--model",
    "optim.lr": "--learning-rate",
    "trainer.total_epochs": "--epochs",
    "trainer.seed": "--seed",
    "engine.seed": "--seed",
    "trainer.default_local_dir": "--out",
    "trainer.device": "--profile",
}
"""Keys of verl's trainer that have an option of their own."""


@dataclass(frozen=True, kw_only=True)
class SftRequest:
    """The options of `verl-coder sft`. ConfigError where a value cannot be meant."""

    model: str
    traces: Path
    out: Path
    validation: Path | None = None
    val_share: float = 0.05
    tools: str | None = None
    epochs: int = 3
    batch_size: int = 32
    micro_tokens: int | None = None
    learning_rate: float = 1e-5
    max_prompt_length: int = 1024
    max_response_length: int = 2048
    chat_template_kwargs: str | None = None
    seed: int = 0
    profile: str = "gpu"
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option, value in (
            ("--epochs", self.epochs),
            ("--batch-size", self.batch_size),
            ("--micro-tokens", 1 if self.micro_tokens is None else self.micro_tokens),
            ("--learning-rate", self.learning_rate),
            ("--max-prompt-length", self.max_prompt_length),
            ("--max-response-length", self.max_response_length),
        ):
            if value <= 0:
                raise ConfigError(f"{option} is {value}: use a number above 0")
        if not 0 <= self.val_share < 1:
            raise ConfigError(f"--val-share is {self.val_share}: use a share in [0, 1); 0 holds nothing out")
        if self.profile not in PROFILES:
            raise ConfigError(f"the profile is {self.profile!r}: use --profile cpu or --profile gpu")
        template_options(self.chat_template_kwargs)
        parse_overrides(self.overrides)

    def as_json(self) -> dict[str, Any]:
        """The settings as they stand in summary.json, and by which a finished run is recognised."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "out"}
        values["overrides"] = list(self.overrides)
        return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}


def parse_overrides(arguments: Sequence[str]) -> dict[str, str]:
    """`key=value` and `+key=value` as a mapping, the plus kept; ConfigError for anything else."""
    found = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key.startswith("-") or not key.strip("+"):
            raise ConfigError(f"{argument!r} is neither an option nor a Hydra override: write key=value")
        if key.lstrip("+") in OWNED:
            raise ConfigError(f"{argument}: use {OWNED[key.lstrip('+')]}")
        found[key] = value
    return found


def trainer_keys(
    request: SftRequest, *, model: Path, train_file: Path, val_file: Path | None, longest: int
) -> dict[str, Any]:
    """Keys of verl's `sft_trainer_engine` for this request; `longest` is the longest row in tokens."""
    micro_tokens = request.micro_tokens or max(MICRO_TOKENS[request.profile], longest)
    if micro_tokens < longest:
        raise ConfigError(
            f"--micro-tokens is {micro_tokens}, the longest trace has {longest} tokens: use {longest} or more, "
            "or a smaller --max-response-length, which leaves long traces out"
        )
    keys: dict[str, Any] = {
        "data.train_files": train_file,
        "data.val_files": val_file or "null",
        "data.custom_cls.path": "pkg://verl_coder.sft.dataset",
        "data.custom_cls.name": "TokenRows",
        "data.train_batch_size": request.batch_size,
        "data.use_dynamic_bsz": True,
        "data.max_token_len_per_gpu": micro_tokens,
        "model.path": model,
        "model.use_remove_padding": True,
        "model.enable_gradient_checkpointing": True,
        "+model.override_config.attn_implementation": "packed",
        "engine.seed": request.seed,
        "optim.lr": request.learning_rate,
        "optim.betas": "[0.9,0.95]",
        "optim.lr_scheduler_type": "cosine",
        "optim.lr_warmup_steps_ratio": 0.05,
        "optim.min_lr_ratio": 0.1,
        "trainer.total_epochs": request.epochs,
        "trainer.test_freq": "after_each_epoch" if val_file else -1,
        "trainer.seed": request.seed,
    }
    return merge(keys, parse_overrides(request.overrides))


def total_steps(request: SftRequest, rows: int) -> int:
    """Steps of the run: whole batches of every epoch, or fewer where `trainer.total_training_steps` says so."""
    if rows < request.batch_size:
        held_out = request.validation is None and request.val_share > 0
        raise ConfigError(
            f"{counted(rows, 'trace is', 'traces are')} left to train on, --batch-size is {request.batch_size}: lower "
            f"it (--batch-size {rows})"
            + (f", or hold out fewer (--val-share is {request.val_share})" if held_out else "")
        )
    steps = rows // request.batch_size * request.epochs
    given = {key.lstrip("+"): value for key, value in parse_overrides(request.overrides).items()}
    asked = given.get("trainer.total_training_steps")
    if asked is None:
        return steps
    if not asked.isdigit() or not 1 <= int(asked) <= steps:
        raise ConfigError(
            f"trainer.total_training_steps={asked}: --epochs {request.epochs} make {counted(steps, 'step')}; use "
            f"1 to {steps}, or more epochs"
        )
    return int(asked)

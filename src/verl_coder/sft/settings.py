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
KEEP = ("best", "last")
CPU_NUMBERS = ("float32", "bfloat16")
MICRO_TOKENS = {"cpu": 2048, "gpu": 8192}
"""Tokens in one pass: with 152k words of a vocabulary their logits take 1.2 GB in float32, and 5 GB."""
ATTENTION = {"cpu": "shared_prefix", "gpu": "packed"}
"""Traces that call tools begin alike, with their description: on a CPU that is computed once a pass."""
LEARNING_RATE, LORA_LEARNING_RATE = 1e-5, 1e-4

OWNED = {
    "data.train_files": "--traces",
    "data.val_files": "--validation",
    "data.train_batch_size": "--batch-size",
    "data.max_token_len_per_gpu": "--micro-tokens",
    "model.path": "--model",
    "model.lora_rank": "--lora-rank",
    "model.lora_alpha": "--lora-alpha",
    "model.target_modules": "--lora-rank, which adapts all linear layers",
    "model.exclude_modules": "--lora-rank, which adapts all linear layers",
    "model.target_parameters": "--lora-rank, which adapts all linear layers",
    "model.lora_adapter_path": "--model with the adapter merged (`verl-coder export`)",
    "engine": "verl's FSDP2, which is what this command exports",
    "optim": "verl's FSDP2, which is what this command exports",
    "engine.strategy": "verl's FSDP2, which is what this command exports",
    "checkpoint.save_contents": "--keep",
    "checkpoint.load_contents": "--keep",
    "checkpoint.save_lora_only": "--keep",
    "trainer.resume_mode": "another --out",
    "trainer.resume_from_path": "another --out",
    "trainer.max_ckpt_to_keep": "--keep",
    "trainer.default_hdfs_dir": "a copy of --out",
    "trainer.nnodes": "one machine",
    "trainer.n_gpus_per_node": "one GPU",
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
    learning_rate: float | None = None
    lora_rank: int = 0
    lora_alpha: int | None = None
    keep: str = "best"
    cpu_numbers: str = "float32"
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
            ("--learning-rate", self.peak_learning_rate),
            ("--lora-alpha", 1 if self.lora_alpha is None else self.lora_alpha),
            ("--max-prompt-length", self.max_prompt_length),
            ("--max-response-length", self.max_response_length),
        ):
            if value <= 0:
                raise ConfigError(f"{option} is {value}: use a number above 0")
        if not 0 <= self.val_share < 1:
            raise ConfigError(f"--val-share is {self.val_share}: use a share in [0, 1); 0 holds nothing out")
        if self.seed < 0:
            raise ConfigError(f"--seed is {self.seed}: use a whole number of 0 or more")
        if self.lora_rank < 0:
            raise ConfigError(f"--lora-rank is {self.lora_rank}: use 0 (all parameters learn) or more")
        if self.lora_alpha is not None and not self.lora_rank:
            raise ConfigError(
                f"--lora-alpha is {self.lora_alpha} and there is no adapter: give --lora-rank, too"
            )
        for option, word, words in (
            ("--profile", self.profile, PROFILES),
            ("--keep", self.keep, KEEP),
            ("--cpu-numbers", self.cpu_numbers, CPU_NUMBERS),
        ):
            if word not in words:
                raise ConfigError(f"{option} is {word!r}: use {' or '.join(words)}")
        template_options(self.chat_template_kwargs)
        parse_overrides(self.overrides)

    @property
    def peak_learning_rate(self) -> float:
        """The highest: as given, else ten times as high for an adapter as for all parameters."""
        if self.learning_rate is not None:
            return self.learning_rate
        return LORA_LEARNING_RATE if self.lora_rank else LEARNING_RATE

    @property
    def alpha(self) -> int:
        """Of the adapter: as given, else twice its rank."""
        return 2 * self.lora_rank if self.lora_alpha is None else self.lora_alpha

    def as_json(self) -> dict[str, Any]:
        """The settings as they stand in summary.json, and by which a finished run is recognised."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "out"}
        values |= {"learning_rate": self.peak_learning_rate, "lora_alpha": self.alpha}
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
    request: SftRequest,
    *,
    model: Path,
    train_file: Path,
    val_file: Path | None,
    longest: int,
    recompute: bool,
) -> dict[str, Any]:
    """Keys of verl's `sft_trainer_engine` for this request; `longest` is the longest row in tokens.

    `recompute`: activations are computed twice, which saves memory.
    """
    _check_frequencies(request, held_out=val_file is not None)
    keys: dict[str, Any] = {
        "data.train_files": train_file,
        "data.val_files": val_file or "null",
        "data.custom_cls.path": "pkg://verl_coder.sft.dataset",
        "data.custom_cls.name": "TokenRows",
        "data.train_batch_size": request.batch_size,
        "data.use_dynamic_bsz": True,
        "data.max_token_len_per_gpu": micro_tokens(request, longest),
        "model.path": model,
        "model.use_remove_padding": True,
        "model.enable_gradient_checkpointing": recompute,
        "+model.override_config.attn_implementation": ATTENTION[request.profile],
        "engine.seed": request.seed,
        "optim.lr": request.peak_learning_rate,
        "optim.betas": "[0.9,0.95]",
        "optim.lr_scheduler_type": "cosine",
        "optim.lr_warmup_steps_ratio": 0.05,
        "optim.min_lr_ratio": 0.1,
        "trainer.total_epochs": request.epochs,
        "trainer.test_freq": "after_each_epoch" if val_file else -1,
        "trainer.seed": request.seed,
    }
    if request.lora_rank:
        keys |= {
            "model.lora_rank": request.lora_rank,
            "model.lora_alpha": request.alpha,
            "model.target_modules": "all-linear",
            "+checkpoint.save_lora_only": True,
        }
    if request.profile == "cpu" and request.cpu_numbers == "bfloat16":
        keys["+engine.mixed_precision.param_dtype"] = "bf16"
    return merge(keys, parse_overrides(request.overrides))


def _check_frequencies(request: SftRequest, *, held_out: bool) -> None:
    """What verl would divide by, or look for in vain."""
    given = {key.lstrip("+"): value for key, value in parse_overrides(request.overrides).items()}
    for key in ("trainer.test_freq", "trainer.save_freq"):
        value = given.get(key, "-1")
        if value != "after_each_epoch" and not (value == "-1" or (value.isdigit() and int(value) > 0)):
            raise ConfigError(f"{key}={value}: use a number of steps, after_each_epoch, or -1")
    if not held_out and given.get("trainer.test_freq", "-1") != "-1":
        raise ConfigError(
            f"trainer.test_freq={given['trainer.test_freq']}: no trace is held out: raise --val-share, or give "
            "--validation"
        )
    if "file" not in given.get("trainer.logger", "file"):
        raise ConfigError(
            f"trainer.logger={given['trainer.logger']}: keep file in it, which the progress is read from"
        )


def recomputes(request: SftRequest) -> bool | None:
    """Whether the passes compute activations twice, by an override; None where the plan decides."""
    given = {key.lstrip("+"): value for key, value in parse_overrides(request.overrides).items()}
    value = given.get("model.enable_gradient_checkpointing")
    return None if value is None else value.lower() in ("true", "1", "yes", "on")


def micro_tokens(request: SftRequest, longest: int) -> int:
    """Tokens of a pass: as given, else by the profile, or the longest trace; ConfigError where that does not fit."""
    tokens = request.micro_tokens or max(MICRO_TOKENS[request.profile], longest)
    if tokens < longest:
        raise ConfigError(
            f"--micro-tokens is {tokens}, the longest trace has {longest} tokens: use {longest} or more, "
            "or a smaller --max-response-length, which leaves long traces out"
        )
    return tokens


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

"""The `verl_coder:` section of a recipe: every key that is ours and not verl's."""

from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.run.composite_settings import SECTIONS, CompositeSettings, parse_composite


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ours, beside verl's own tree. The launcher fills in the first four."""

    run_name: str
    """Name of the run: the last part of `out`."""
    out: str
    """Folder of the run: configuration, metrics, rollouts, checkpoints, summary."""
    recipe: str
    """Name of the recipe's folder."""
    seed: int = 0
    """Seeds the data order, the actor and the sampler."""
    prepare: str | None = None
    """Command that makes the data files of the recipe where they are missing, run in the repository."""
    sandbox_url: str | None = None
    """URLs of running sandboxes, comma-separated; None starts the embedded one for the run."""
    sandbox_port: int = 0
    """Port of the embedded sandbox on loopback; 0 takes a free one."""
    sandbox_isolation: str = "auto"
    """Of the embedded sandbox: auto, namespaces, light or none (see src/verl_coder/sandbox/README.md)."""
    sandbox_unsafe: bool = False
    """Let the embedded sandbox run model-written code where it cannot protect this machine from it."""
    poll_interval_s: float = 0.02
    """How often the trainer asks whether the rollouts are there (verl's own: 2 s)."""
    max_sandbox_unavailable_share: float = 0.25
    """Share of a step's samples without a verdict (sandbox down) above which the run stops."""
    wandb: str = "auto"
    """online, offline (keep for a later push), disabled, or auto: $WANDB_MODE, else online where W&B has a key."""
    wandb_finish_timeout_s: float = 20.0
    """How long the end of a run waits for W&B; what it lacks then is sent by `verl-coder wandb push`."""
    keep_best: bool = True
    """Keep the checkpoint with the best held-out pass rate, beside the last trainer.max_actor_ckpt_to_keep."""
    eval_samples: int = 0
    """Sampled answers per problem of an evaluation, at the training temperature; 0: greedy answers only."""
    eval_table_rows: int = 32
    """Rows of the table of samples that each evaluation writes."""
    curriculum: dict[str, Any] | None = None
    """Stages over difficulty or measured pass rate; None trains on everything at once."""
    mask_overlong: bool = False
    """Train on no sample that was cut off at the response length (DAPO's over-long filtering)."""
    mask_void_turns: bool = False
    """Train on no sample whose last turn has neither a tool call nor code (SimpleTIR's filter)."""
    composite: CompositeSettings = field(default_factory=CompositeSettings)
    """The sections `losses`, `teacher` and `self_sft` (see run/composite_settings.py)."""


def parse_settings(section: DictConfig) -> Settings:
    """The section as Settings; ConfigError names an unknown key or a value out of range."""
    plain = {item.name for item in fields(Settings)} - {"composite"}
    unknown = sorted(set(section) - plain - set(SECTIONS))
    if unknown:
        known = ", ".join(sorted(plain | set(SECTIONS)))
        raise ConfigError(f"verl_coder.{unknown[0]}: no such setting; there are {known}")
    values = OmegaConf.to_container(section, resolve=True)
    assert isinstance(values, dict)
    settings = Settings(
        composite=parse_composite({name: values.pop(name) for name in SECTIONS if name in values}),
        **{str(key): value for key, value in values.items()},
    )
    if not 0 < settings.poll_interval_s <= 10:
        raise ConfigError(f"verl_coder.poll_interval_s is {settings.poll_interval_s}; it must be in (0, 10]")
    if not 0 <= settings.max_sandbox_unavailable_share <= 1:
        raise ConfigError(
            "verl_coder.max_sandbox_unavailable_share is "
            f"{settings.max_sandbox_unavailable_share}; it must be in [0, 1]"
        )
    for name in ("wandb_finish_timeout_s", "eval_samples", "eval_table_rows"):
        if getattr(settings, name) < 0:
            raise ConfigError(f"verl_coder.{name} is {getattr(settings, name)}; it must be 0 or more")
    return settings

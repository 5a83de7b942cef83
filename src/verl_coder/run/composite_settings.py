"""The settings of the composite loss: `verl_coder.losses`, `verl_coder.teacher`, `verl_coder.self_sft`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.run.schedules import Schedule, parse_schedule
from verl_coder.trainer.composite.self_sft import SelfSettings
from verl_coder.trainer.composite.teacher_rows import TeacherSettings


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """`verl_coder.losses`: the weights of the three terms."""

    alpha: Schedule = field(default_factory=lambda: Schedule(start=1.0))
    """Of verl's policy loss (with its KL and entropy terms)."""
    beta: Schedule = field(default_factory=Schedule)
    """Of the teacher's traces."""
    gamma: Schedule = field(default_factory=Schedule)
    """Of the model's own passing rollouts."""


@dataclass(frozen=True, kw_only=True)
class CompositeSettings:
    """The three sections together."""

    losses: LossWeights = field(default_factory=LossWeights)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    self_sft: SelfSettings = field(default_factory=SelfSettings)

    @property
    def active(self) -> bool:
        """Whether anything differs from verl's own update."""
        return self.losses != LossWeights()

    @property
    def uses_teacher(self) -> bool:
        """Whether the teacher's term ever counts."""
        return self.losses.beta.highest > 0

    @property
    def uses_self(self) -> bool:
        """Whether the self-SFT term ever counts."""
        return self.losses.gamma.highest > 0

    def describe(self) -> str:
        """The three terms, for a run's plan."""
        parts = [f"{self.losses.alpha.describe()} GRPO"]
        if self.uses_teacher:
            parts.append(f"{self.losses.beta.describe()} teacher ({self.teacher.rows} rows a mini-batch)")
        if self.uses_self:
            parts.append(f"{self.losses.gamma.describe()} self (top {self.self_sft.top_k} a prompt)")
        return " + ".join(parts)


SECTIONS = tuple(section.name for section in fields(CompositeSettings))


def parse_composite(section: Mapping[str, Any]) -> CompositeSettings:
    """Read and check the sections of `verl_coder:`. ConfigError names the key, the value and the fix."""
    weights = _keys("verl_coder.losses", section.get("losses"), LossWeights)
    losses = LossWeights(
        **{name: parse_schedule(f"verl_coder.losses.{name}", value) for name, value in weights.items()}
    )
    if not any(getattr(losses, name).highest for name in ("alpha", "beta", "gamma")):
        raise ConfigError(
            "verl_coder.losses: alpha, beta and gamma are all 0, nothing would be trained; set one above 0"
        )
    teacher = TeacherSettings(**_keys("verl_coder.teacher", section.get("teacher"), TeacherSettings))
    self_sft = SelfSettings(**_keys("verl_coder.self_sft", section.get("self_sft"), SelfSettings))
    settings = CompositeSettings(losses=losses, teacher=teacher, self_sft=self_sft)
    _check_values(settings)
    return settings


def _keys(place: str, section: Mapping[str, Any] | None, cls: type) -> dict[str, Any]:
    """The section as a plain dict whose keys are fields of `cls`."""
    known = [item.name for item in fields(cls)]
    for key in section or {}:
        if key not in known:
            raise ConfigError(f"{place}.{key}: no such setting; there are {', '.join(known)}")
    return {str(key): value for key, value in (section or {}).items()}


def _check_values(settings: CompositeSettings) -> None:
    teacher, self_sft = settings.teacher, settings.self_sft
    for place, value in (
        ("verl_coder.teacher.rows", teacher.rows),
        ("verl_coder.self_sft.top_k", self_sft.top_k),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{place} is {value!r}: use a whole number of 1 or more")
    if not isinstance(self_sft.only_mixed, bool):
        raise ConfigError(f"verl_coder.self_sft.only_mixed is {self_sft.only_mixed!r}: use true or false")
    gate = teacher.max_group_pass_rate
    if gate is not None and (
        isinstance(gate, bool) or not isinstance(gate, int | float) or not 0 <= gate < 1
    ):
        raise ConfigError(
            f"verl_coder.teacher.max_group_pass_rate is {gate!r}: use null, or a share in [0, 1)"
        )
    if settings.uses_teacher and not teacher.traces:
        raise ConfigError(
            "verl_coder.losses.beta is above 0 and verl_coder.teacher.traces names no file: name one, or set beta "
            "to 0"
        )

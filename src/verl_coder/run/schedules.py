"""A weight that may change over training: constant, linear or cosine, after an optional warm-up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verl_coder.errors import ConfigError

KINDS = ("constant", "linear", "cosine")
_KEYS = ("schedule", "start", "end", "steps", "warmup_steps")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """From `start` to `end` in `steps` training steps; then `end`. Constant stays at `start`.

    The cosine form with warm-up is CHORD's for its mu (arXiv 2508.11408): up from 0, then down to a valley.
    """

    schedule: str = "constant"
    start: float = 0.0
    end: float = 0.0
    steps: int = 1
    """Training steps from the end of the warm-up to `end`."""
    warmup_steps: int = 0
    """Training steps of a linear rise from 0 to `start`, before anything else."""

    def value(self, step: int) -> float:
        """The weight of training step `step`, the first of which is 1."""
        if step <= self.warmup_steps:
            return self.start * step / (self.warmup_steps + 1)
        if self.schedule == "constant":
            return self.start
        progress = min(max(step - 1 - self.warmup_steps, 0) / self.steps, 1.0)
        if self.schedule == "cosine":
            progress = (1 - math.cos(math.pi * progress)) / 2
        return self.start + (self.end - self.start) * progress

    @property
    def highest(self) -> float:
        """The largest value it ever has."""
        return self.start if self.schedule == "constant" else max(self.start, self.end)

    def describe(self) -> str:
        """`0.3`, or `1 -> 0.1 (cosine, 20 steps)`."""
        if self.schedule == "constant":
            return f"{self.start:g}"
        return f"{self.start:g} -> {self.end:g} ({self.schedule}, {self.steps} steps)"


def parse_schedule(place: str, value: Any) -> Schedule:
    """A number, or a mapping with the keys of Schedule; ConfigError names `place` and what is wrong."""
    given = isinstance(value, Mapping)
    schedule = _from_mapping(place, value) if given else Schedule(start=_number(place, value))
    for name in ("start", "end"):
        weight = getattr(schedule, name)
        if weight < 0:
            raise ConfigError(f"{place} is {weight:g}: a weight must be 0 or more")
    return schedule


def _from_mapping(place: str, value: Mapping[str, Any]) -> Schedule:
    unknown = sorted(set(map(str, value)) - set(_KEYS))
    if unknown:
        raise ConfigError(f"{place}.{unknown[0]}: no such setting; there are {', '.join(_KEYS)}")
    kind = value.get("schedule", "constant")
    if kind not in KINDS:
        raise ConfigError(f"{place}.schedule is {kind!r}: choose one of {', '.join(KINDS)}")
    if "start" not in value or (kind != "constant" and ("end" not in value or "steps" not in value)):
        raise ConfigError(
            f"{place}: a {kind} schedule needs start{'' if kind == 'constant' else ', end, steps'}"
        )
    steps, warmup = value.get("steps", 1), value.get("warmup_steps", 0)
    for name, number, least in (("steps", steps, 1), ("warmup_steps", warmup, 0)):
        if not isinstance(number, int) or number < least:
            raise ConfigError(f"{place}.{name} is {number!r}: use a whole number of {least} or more")
    return Schedule(
        schedule=kind,
        start=_number(f"{place}.start", value["start"]),
        end=_number(f"{place}.end", value.get("end", 0.0)),
        steps=steps,
        warmup_steps=warmup,
    )


def _number(place: str, value: Any) -> float:
    """`value` as a finite float; YAML reads 1e-3 as a string."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ConfigError(f"{place} is {value!r}: use a number")
    return number

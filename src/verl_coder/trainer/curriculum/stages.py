"""The curriculum: which problems are trained on now, and when the next stage begins. Pure logic, no torch.

Stages divide the problems by `difficulty` or by measured `pass_rate` (both in extra_info). A stage is left when the
held-out pass rate of its own problems reached its threshold in `evaluations` consecutive evaluations, or, with a
warning, after `max_steps` steps, so that a run never sticks silently. A share `mix_in` of every later batch comes
from earlier stages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from verl_coder.errors import ConfigError, DataError

PLACE = "verl_coder.curriculum"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: the problems it adds and what it takes to leave it."""

    name: str
    values: tuple[str, ...] = ()
    """Difficulties that belong to it (`by: difficulty`)."""
    low: float = 0.0
    high: float = 1.0
    """Pass rates in [low, high) belong to it; `high` 1 includes 1 (`by: pass_rate`)."""
    threshold: float | None = None
    """Held-out pass rate at which the stage is done; None only in the last stage."""


@dataclass(frozen=True, kw_only=True)
class CurriculumSettings:
    """The `verl_coder.curriculum` section."""

    by: str
    stages: tuple[Stage, ...]
    evaluations: int = 2
    max_steps: int = 100
    mix_in: float = 0.0

    def stage_of(self, extra_info: Mapping[str, Any]) -> int | None:
        """Stage of a problem; None for one that no stage takes."""
        value = extra_info.get(self.by)
        if value is None:
            return None
        for index, stage in enumerate(self.stages):
            if self.by == "difficulty":
                if str(value) in stage.values:
                    return index
            elif stage.low <= float(value) < stage.high or float(value) == stage.high == 1.0:
                return index
        return None


def parse_curriculum(section: Mapping[str, Any]) -> CurriculumSettings:
    """The section as settings; ConfigError names what is unknown, missing or out of range."""
    known = {"by", "stages", "evaluations", "max_steps", "mix_in"}
    _refuse_unknown(section, known, PLACE)
    by = section.get("by")
    if by not in ("difficulty", "pass_rate"):
        raise ConfigError(f"{PLACE}.by={by}: use difficulty or pass_rate")
    raw = section.get("stages") or []
    if len(raw) < 2:
        raise ConfigError(f"{PLACE}.stages has {len(raw)} stage(s): a curriculum has two or more")
    stages = tuple(_parse_stage(stage, by, index, len(raw)) for index, stage in enumerate(raw))
    settings = CurriculumSettings(
        by=by, stages=stages, **{key: section[key] for key in known - {"by", "stages"} if key in section}
    )
    if settings.evaluations < 1:
        raise ConfigError(f"{PLACE}.evaluations={settings.evaluations}: use 1 or more")
    if settings.max_steps < 1:
        raise ConfigError(f"{PLACE}.max_steps={settings.max_steps}: use 1 or more")
    if not 0 <= settings.mix_in < 1:
        raise ConfigError(f"{PLACE}.mix_in={settings.mix_in}: it is a share of the batch in [0, 1)")
    return settings


def _parse_stage(raw: Mapping[str, Any], by: str, index: int, count: int) -> Stage:
    place = f"{PLACE}.stages[{index}]"
    _refuse_unknown(raw, {"name", "values", "low", "high", "threshold"}, place)
    stage = Stage(
        name=str(raw.get("name") or index + 1),
        values=tuple(str(value) for value in raw.get("values") or ()),
        low=float(raw.get("low", 0.0)),
        high=float(raw.get("high", 1.0)),
        threshold=raw.get("threshold"),
    )
    if stage.threshold is not None and not 0 < stage.threshold <= 1:
        raise ConfigError(f"{place}.threshold={stage.threshold}: a pass rate is in (0, 1]")
    if stage.threshold is None and index < count - 1:
        raise ConfigError(f"{place}.threshold is missing: only the last stage has none")
    if by == "difficulty" and not stage.values:
        raise ConfigError(f"{place}.values is empty: name the difficulties that belong to the stage")
    if by == "pass_rate" and not 0 <= stage.low < stage.high <= 1:
        raise ConfigError(f"{place}: low={stage.low}, high={stage.high} is no range of pass rates")
    return stage


def _refuse_unknown(section: Mapping[str, Any], known: set[str], place: str) -> None:
    unknown = sorted(set(section) - known)
    if unknown:
        raise ConfigError(f"{place}.{unknown[0]}: no such setting; there are {', '.join(sorted(known))}")


@dataclass
class Curriculum:
    """Where the run is in its curriculum."""

    settings: CurriculumSettings
    stage: int = 0
    entered_after: int = 0
    """The last step before this stage."""
    passed: int = 0
    """Consecutive evaluations at or above the threshold."""
    forced: int = 0
    """Stages that were left because of max_steps."""
    rates: dict[str, float] = field(default_factory=dict)
    """Held-out pass rate of each stage's problems, by the last evaluation."""

    @property
    def current(self) -> Stage:
        """The present stage."""
        return self.settings.stages[self.stage]

    @property
    def last(self) -> bool:
        """Whether no stage follows."""
        return self.stage == len(self.settings.stages) - 1

    def observe(self, step: int, rates: Mapping[int, float]) -> str | None:
        """Take in the evaluation after `step`: stage -> held-out pass rate; a sentence when the stage ends."""
        self.rates = {self.settings.stages[index].name: rate for index, rate in sorted(rates.items())}
        if self.last or self.stage not in rates:
            return None
        threshold = self.current.threshold
        assert threshold is not None
        self.passed = self.passed + 1 if rates[self.stage] >= threshold else 0
        if self.passed < self.settings.evaluations:
            return None
        name, rate = self.current.name, rates[self.stage]
        self._advance(step)
        return f"curriculum: {name} done after step {step} (pass rate {rate:.3f}), now {self.current.name}"

    def step_done(self, step: int) -> str | None:
        """Count `step`; a warning when the stage is left only because it took `max_steps`."""
        if self.last or step - self.entered_after < self.settings.max_steps:
            return None
        name, rate, threshold = self.current.name, self.rates.get(self.current.name), self.current.threshold
        seen = (
            "it was never evaluated"
            if rate is None
            else f"only {self.passed} of {self.settings.evaluations} evaluations in a row reached its threshold "
            f"{threshold} (the last one: {rate:.3f})"
        )
        self.forced += 1
        self._advance(step)
        return (
            f"curriculum: {name} left after step {step}, its max_steps={self.settings.max_steps}, although {seen}; "
            f"now {self.current.name}"
        )

    def _advance(self, step: int) -> None:
        self.stage, self.entered_after, self.passed = self.stage + 1, step, 0

    def metrics(self, step: int) -> dict[str, float]:
        """`curriculum/*` of a step."""
        return {
            "curriculum/stage": float(self.stage),
            "curriculum/steps_in_stage": float(step - self.entered_after),
            "curriculum/evaluations_passed": float(self.passed),
            "curriculum/forced_moves": float(self.forced),
            **{f"curriculum/pass_rate/{name}": rate for name, rate in self.rates.items()},
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON."""
        state = asdict(self)
        state.pop("settings")
        return state | {"stages": [stage.name for stage in self.settings.stages]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back `state()`; ConfigError where the stages are others now."""
        names = [stage.name for stage in self.settings.stages]
        if list(state["stages"]) != names:
            raise ConfigError(
                f"{PLACE}.stages are {', '.join(names)}; the checkpoint's are {', '.join(state['stages'])}: "
                "take them back, or another folder with OUT="
            )
        for name in ("stage", "entered_after", "passed", "forced", "rates"):
            setattr(self, name, state[name])


def stages_of(rows: Sequence[Mapping[str, Any]], settings: CurriculumSettings) -> list[int | None]:
    """Stage of each row, from its extra_info."""
    return [settings.stage_of(row) for row in rows]


def check_left(stages: Sequence[int | None], settings: CurriculumSettings, least: int) -> None:
    """DataError where a stage has fewer than `least` rows left, after prompts that are too long were dropped."""
    for index, stage in enumerate(settings.stages):
        left = sum(row == index for row in stages)
        if left < least:
            raise DataError(
                f"data.train_files: {left} rows are left for stage {stage.name} of {PLACE}, which takes {least} or "
                "more: the rest is longer than data.max_prompt_length or beyond data.train_max_samples"
            )

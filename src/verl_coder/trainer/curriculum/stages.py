"""Where a run is in its curriculum: which problems are trained on now, and when the next stage begins. No torch.

Stages divide the problems by `difficulty` or by measured `pass_rate` (both in extra_info). A stage is left when the
held-out pass rate of its own problems reached its threshold in `evaluations` consecutive evaluations, or, with a
warning, after `max_steps` steps, so that a run never sticks silently. A share `mix_in` of every later batch comes
from earlier stages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from verl_coder.errors import ConfigError, DataError
from verl_coder.run.settings import CURRICULUM, CurriculumSettings, Stage
from verl_coder.words import counted

_STATE = ("stage", "entered_after", "passed", "forced", "rates")
"""What of a Curriculum a checkpoint keeps."""


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
    def name(self) -> str:
        """The present stage's name."""
        return self.settings.names[self.stage]

    @property
    def last(self) -> bool:
        """Whether no stage follows."""
        return self.stage == len(self.settings.stages) - 1

    def observe(self, step: int, rates: Mapping[int, float]) -> str | None:
        """Take in the evaluation after `step`: stage -> held-out pass rate; a sentence when the stage ends."""
        self.rates = {self.settings.names[index]: rate for index, rate in sorted(rates.items())}
        if self.last or self.stage not in rates:
            return None
        threshold = self.current.threshold
        assert threshold is not None
        self.passed = self.passed + 1 if rates[self.stage] >= threshold else 0
        if self.passed < self.settings.evaluations:
            return None
        name, rate = self.name, rates[self.stage]
        self._advance(step)
        return f"curriculum: {name} done after step {step} (pass rate {rate:.3f}), now {self.name}"

    def step_done(self, step: int) -> str | None:
        """Count `step`; a warning when the stage is left only because it took `max_steps`."""
        if self.last or step - self.entered_after < self.settings.max_steps:
            return None
        name, rate, threshold = self.name, self.rates.get(self.name), self.current.threshold
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
            f"now {self.name}"
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
        return {name: getattr(self, name) for name in _STATE} | {"stages": list(self.settings.names)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back `state()`; ConfigError where the stages are others now."""
        names = list(self.settings.names)
        if list(state["stages"]) != names:
            raise ConfigError(
                f"{CURRICULUM}.stages are {', '.join(names)}; the checkpoint's are {', '.join(state['stages'])}: "
                "take them back, or another folder with OUT="
            )
        for name in _STATE:
            setattr(self, name, state[name])


def check_left(stages: Sequence[int | None], settings: CurriculumSettings, least: int) -> None:
    """DataError where a stage has fewer than `least` rows left, after prompts that are too long were dropped."""
    for index, name in enumerate(settings.names):
        left = sum(row == index for row in stages)
        if left < least:
            raise DataError(
                f"data.train_files: {counted(left, 'row is', 'rows are')} left for stage {name} of {CURRICULUM}, which "
                f"takes {least} or more: the rest is longer than data.max_prompt_length or beyond "
                "data.train_max_samples"
            )

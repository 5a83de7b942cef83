"""How good the models are: what the evaluations say that are of the models as they are now, and which are not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from verl_coder.errors import ConfigError
from verl_coder.evaluation.folder import COMPARISON, RESULTS
from verl_coder.files import read_json
from verl_coder.pipeline.decide import Decision
from verl_coder.pipeline.tasks import PipelineTask, Workplace

_REMOVE = "remove it, and the same command makes it again"
_COMPARE = "evaluate/compare"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What is shown at the end, and what pipeline.json keeps."""

    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    """Model -> k -> pass@k; `k` of the evaluation says for which k."""
    verdicts: list[str] = field(default_factory=list)
    """The sentences of the comparison."""
    left_out: list[str] = field(default_factory=list)
    """A line of each evaluation that is not of what is there now."""

    @property
    def pass_at_1(self) -> dict[str, float]:
        """Of the models whose evaluation has it."""
        return {name: found["1"] for name, found in self.rates.items() if "1" in found}

    def lines(self) -> list[str]:
        """pass@k of each model in one line, of the least k that all have; then the comparison."""
        lines = []
        if shared := set.intersection(*map(set, self.rates.values())) if self.rates else set():
            k = min(shared, key=int)
            named = ", ".join(f"{name} {found[k]:.3f}" for name, found in self.rates.items())
            lines.append(f"pass@{k}: {named}")
        return [*lines, *self.verdicts, *self.left_out]


def read_scores(
    place: Workplace, tasks: Sequence[PipelineTask], decide: Callable[[PipelineTask], Decision]
) -> Scores:
    """Of the `tasks` of the evaluation: those that have ended, and that would be skipped now."""
    decisions = {task.name: decide(task) for task in tasks}
    fresh = [name for name, decision in decisions.items() if not decision.run]
    left_out = [
        f"{name}: of an older model, not shown ({decision.why}): run the stage evaluate"
        for name, decision in decisions.items()
        if decision.run and decision.record is not None and decision.record.finished
    ]
    return Scores(
        rates={name.partition("/")[2]: _rates(place, name) for name in fresh if name != _COMPARE},
        verdicts=_verdicts(place) if _COMPARE in fresh and len(fresh) == len(decisions) else [],
        left_out=left_out,
    )


def _rates(place: Workplace, name: str) -> dict[str, float]:
    path = place.out / name / RESULTS
    rates = read_json(path, _REMOVE).get("pass_at_k")
    try:
        return {str(int(k)): float(rate) for k, rate in rates.items()}  # type: ignore[union-attr]
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} has no pass@k: {_REMOVE}") from error


def _verdicts(place: Workplace) -> list[str]:
    found = read_json(place.evaluate / COMPARISON, _REMOVE).get("comparisons")
    return [
        str(one.get("verdict")) for one in (found if isinstance(found, list) else []) if isinstance(one, dict)
    ]

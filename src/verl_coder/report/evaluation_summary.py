"""What an evaluation's samples come to, counted while they are read: outcomes, tools, lengths, ends."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from verl_coder.report.records import TrajectoryRecord


@dataclass(kw_only=True)
class SampleCounts:
    """Sums over the samples of one evaluation."""

    samples: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    finish_reasons: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    """Of what is known: `calls`, `written_calls`, `successes`, `with_calls`, `turns`, `response_tokens`, `seconds`."""
    known: Counter[str] = field(default_factory=Counter)
    """How many samples say something about each of them."""

    def watch(self, trajectories: Iterable[TrajectoryRecord]) -> Iterator[TrajectoryRecord]:
        """Hand the trajectories on, and count them."""
        for trajectory in trajectories:
            self._count(trajectory)
            yield trajectory

    def _count(self, trajectory: TrajectoryRecord) -> None:
        self.samples += 1
        self.outcomes[trajectory.outcome[:40]] += 1
        if reason := trajectory.facts.get("finish reason"):
            self.finish_reasons[str(reason)[:40]] += 1
        values = {
            **{
                name: getattr(trajectory, name) for name in ("calls", "successes", "turns", "response_tokens")
            },
            "with_calls": None if trajectory.calls is None else int(trajectory.calls > 0),
            "written_calls": trajectory.facts.get("calls written"),
            "seconds": trajectory.facts.get("seconds"),
        }
        for name, value in values.items():
            if value is not None:
                self.sums[name] += value
                self.known[name] += 1

    def to_dict(self) -> dict[str, Any]:
        """For the page: means where anything is known."""
        means = {name: self.sums[name] / count for name, count in self.known.items() if count}
        if self.sums["calls"] and self.known["successes"]:
            means["success_share"] = self.sums["successes"] / self.sums["calls"]
        return {
            "samples": self.samples,
            "outcomes": dict(self.outcomes.most_common()),
            "finish_reasons": dict(self.finish_reasons.most_common()),
            "means": means,
        }

"""Which traces a step trains on: those of the batch's own prompts first, then others of the pool."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from verl_coder.trainer.composite.traces import Trace, TraceRow


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """The `verl_coder.teacher` section."""

    traces: str | None = None
    """Parquet file with `problem_id` and `messages` (see trainer/composite/traces.py)."""
    rows: int = 16
    """Traces in each mini-batch, over all workers."""
    max_group_pass_rate: float | None = None
    """HPT's gate: teach only where at most this share of the prompt's rollouts passed, and only that prompt's own
    traces; 0 is "where no rollout passed". null teaches always and fills up from the pool."""


class TeacherPool:
    """All traces of a run, tokenised when they are first chosen. Traces that are too long are left out."""

    def __init__(self, traces: Sequence[Trace], tokenise: Callable[[Trace], TraceRow | None]) -> None:
        self._traces = traces
        self._tokenise = tokenise
        self._rows: dict[int, TraceRow | None] = {}
        self._of_problem: dict[str, list[int]] = defaultdict(list)
        for index, trace in enumerate(traces):
            if trace.problem_id:
                self._of_problem[trace.problem_id].append(index)

    @property
    def too_long(self) -> int:
        """Traces left out so far because prompt or response is longer than a rollout's may be."""
        return sum(row is None for row in self._rows.values())

    def has(self, problem_id: str) -> bool:
        """Whether there is a trace of the problem that fits."""
        return any(self._row(index) is not None for index in self._of_problem.get(problem_id, ()))

    def choose(
        self, problem_ids: Sequence[str], count: int, rng: random.Random, *, fill: bool = True
    ) -> list[TraceRow]:
        """Up to `count` different traces: one of each problem in random order, then a second of each, ...

        fill: then of the whole pool. Deterministic by `rng`.
        """
        queues = []
        for problem_id in rng.sample(sorted(set(problem_ids)), k=len(set(problem_ids))):
            indices = self._of_problem.get(problem_id, [])
            queues.append(rng.sample(indices, k=len(indices)))
        chosen: dict[int, TraceRow] = {}
        while any(queues) and len(chosen) < count:
            for queue in queues:
                if queue and len(chosen) < count:
                    self._take(queue.pop(), chosen)
        if fill and len(chosen) < count:
            for index in rng.sample(range(len(self._traces)), k=len(self._traces)):
                if len(chosen) == count:
                    break
                self._take(index, chosen)
        return list(chosen.values())

    def _take(self, index: int, chosen: dict[int, TraceRow]) -> None:
        row = self._row(index)
        if row is not None:
            chosen[index] = row

    def _row(self, index: int) -> TraceRow | None:
        if index not in self._rows:
            self._rows[index] = self._tokenise(self._traces[index])
        return self._rows[index]

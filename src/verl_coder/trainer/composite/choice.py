"""What a step is trained on besides GRPO: which of its own rollouts, and which of a teacher's traces."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transfer_queue import KVBatchMeta

from verl_coder.run.settings import SelfSettings
from verl_coder.traces import Trace, TraceRow
from verl_coder.trainer.recipe_trainer import WHOLE_FIELD, read_columns, read_extra_fields, read_plain


@dataclass(frozen=True, kw_only=True)
class StepRollouts:
    """The rows of a batch, in its order; padding rows have an empty mask."""

    uids: list[str]
    problem_ids: list[str]
    scores: np.ndarray
    """(B,) rewards."""
    passed: np.ndarray
    """(B,) bool: all hidden tests passed, by the reward function's `acc`."""
    whole: np.ndarray
    """(B,) bool: neither cut off nor ending in a void turn (sample_masks.py)."""
    masks: list[torch.Tensor]
    """(T_i,) each: 1 on the model's own tokens, all 0 where the sample is masked."""
    responses: list[torch.Tensor]
    """(T_i,) each: the tokens of the whole response, those of tool results too. Equal rows are one answer."""

    @property
    def tokens(self) -> np.ndarray:
        """(B,) trainable tokens."""
        return np.array([int(mask.sum()) for mask in self.masks])

    def problem_pass_rates(self) -> dict[str, float]:
        """Share of a problem's unmasked rollouts that passed, by problem."""
        passed: dict[str, list[bool]] = defaultdict(list)
        for name, tokens, row in zip(self.problem_ids, self.tokens, self.passed, strict=True):
            if tokens:
                passed[name].append(bool(row))
        return {name: float(np.mean(rows)) for name, rows in passed.items()}


def read_rollouts(batch: KVBatchMeta) -> StepRollouts:
    """Read them from TransferQueue, after rewards and masks are there."""
    data = read_columns(batch, "uid", "extra_info", "rm_scores", "response_mask", "responses", WHOLE_FIELD)
    masks = list(data["response_mask"].unbind())
    scores = np.array([float(row.sum()) for row in data["rm_scores"].unbind()])
    infos = [field.get("reward_extra_info") or {} for field in read_extra_fields(batch)]
    return StepRollouts(
        uids=[str(uid) for uid in read_plain(data["uid"])],
        problem_ids=[str((info or {}).get("problem_id", "")) for info in read_plain(data["extra_info"])],
        scores=scores,
        passed=np.array(
            [float(i.get("acc", s)) >= 1.0 for i, s in zip(infos, scores, strict=True)], dtype=bool
        ),
        whole=np.array(
            [bool(row.any()) for row in data[WHOLE_FIELD].unbind()]
            if WHOLE_FIELD in data
            else [True] * len(scores)
        ),
        masks=masks,
        responses=list(data["responses"].unbind()),
    )


def choose_rollouts(rollouts: StepRollouts, settings: SelfSettings) -> np.ndarray:
    """(B,) bool: the rollouts of the self-SFT term.

    A rollout with no trainable token (padding, or masked because the sandbox failed) is neither chosen nor counted as a
    failure; one that is not whole counts and is never chosen. The same answer is chosen once for its prompt: a model
    that has become sure of one gives it many times.
    """
    scores, tokens = rollouts.scores, rollouts.tokens
    chosen = np.zeros(len(rollouts.uids), dtype=bool)
    groups: dict[str, list[int]] = {}
    for row in np.flatnonzero(tokens > 0):
        groups.setdefault(str(rollouts.uids[row]), []).append(int(row))
    for rows in groups.values():
        passing = [row for row in rows if rollouts.passed[row]]
        if settings.only_mixed and len(passing) == len(rows):
            continue
        best = sorted(
            [row for row in passing if rollouts.whole[row]],
            key=lambda row: (-scores[row], tokens[row], row),
        )
        different: dict[tuple[int, ...], int] = {}
        for row in best:
            different.setdefault(tuple(rollouts.responses[row].tolist()), row)
        chosen[list(different.values())[: settings.top_k]] = True
    return chosen


class TeacherPool:
    """All traces of a run, tokenised when they are first chosen; what is too long or no rollout's is left out."""

    def __init__(self, traces: Sequence[Trace], tokenise: Callable[[Trace], TraceRow | None]) -> None:
        self._traces = traces
        self._tokenise = tokenise
        self._rows: dict[int, TraceRow | None] = {}
        self.refused: dict[int, str] = {}
        """Why a trace, by its row in the file, is none that this model can learn: not all are tried before a run."""
        self._of_problem: dict[str, list[int]] = defaultdict(list)
        for index, trace in enumerate(traces):
            if trace.problem_id:
                self._of_problem[trace.problem_id].append(index)

    @property
    def too_long(self) -> int:
        """Traces left out so far because prompt or response is longer than a rollout's may be."""
        return sum(row is None for row in self._rows.values()) - len(self.refused)

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
            try:
                self._rows[index] = self._tokenise(self._traces[index])
            except ValueError as error:  # TraceError, and what verl's builder of tokens raises
                self._rows[index], self.refused[index] = None, str(error)
        return self._rows[index]

"""What an evaluation comes to: metrics and a table of samples, from one record per answer. No torch, no verl."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer to a held-out problem."""

    uid: str
    problem_id: str
    difficulty: str
    data_source: str
    sampled: bool
    """At the training temperature; else as rollout.val_kwargs says (greedy)."""
    prompt: str
    text: str
    score: float
    infos: dict[str, Any]
    """What the reward function returned beside the score."""
    turns: int
    tool_calls: int
    tool_successes: int
    ground_truth: str
    extra_info: dict[str, Any]

    @property
    def graded(self) -> bool:
        """False where the sandbox failed: neither right nor wrong."""
        return not self.infos.get("sandbox_unavailable")

    @property
    def failed(self) -> bool:
        """The reward raised or gave no finite score, or the rollout was lost: counts as wrong."""
        return any(self.infos.get(kind) for kind in ("reward_raised", "bad_score", "lost"))

    @property
    def passed(self) -> float:
        """1 where all hidden tests pass."""
        return float(self.infos.get("acc", self.score))

    @property
    def test_pass_rate(self) -> float:
        """Share of the hidden tests that pass."""
        return float(self.infos.get("pass_rate", self.passed))


def evaluation_metrics(answers: Sequence[Answer]) -> dict[str, float]:
    """`eval_avg_test_pass_rate` (greedy), `..._sampled`, and `eval/{greedy,sampled}/*`."""
    metrics = {
        "eval/problems": float(len({answer.problem_id for answer in answers})),
        "eval/unavailable_share": _mean([not answer.graded for answer in answers]),
        "eval/failed_share": _mean([answer.failed for answer in answers]),
    }
    for sampled, kind, suffix in ((False, "greedy", ""), (True, "sampled", "_sampled")):
        graded = [answer for answer in answers if answer.sampled == sampled and answer.graded]
        if not graded:
            continue
        calls = sum(answer.tool_calls for answer in graded)
        metrics |= {
            f"eval_avg_test_pass_rate{suffix}": _mean([answer.test_pass_rate for answer in graded]),
            f"eval/{kind}/pass_at_1": _mean([answer.passed for answer in graded]),
            f"eval/{kind}/tool_calls/mean": _mean([answer.tool_calls for answer in graded]),
            f"eval/{kind}/tool_calls/rate": _mean([answer.tool_calls > 0 for answer in graded]),
            f"eval/{kind}/tool_calls/success_rate": sum(a.tool_successes for a in graded) / max(calls, 1),
            f"eval/{kind}/turns/mean": _mean([answer.turns for answer in graded]),
        }
        for name in sorted({answer.difficulty for answer in graded}):
            metrics[f"eval/{kind}/pass_at_1/{name}"] = _mean(
                [answer.passed for answer in graded if answer.difficulty == name]
            )
    return metrics


def sample_table(answers: Sequence[Answer], rows: int) -> list[dict[str, Any]]:
    """The same problems at every evaluation (as far as `rows` goes), greedy and sampled answers side by side."""
    problems = sorted({answer.problem_id for answer in answers})
    random.Random(0).shuffle(problems)
    order = {problem: place for place, problem in enumerate(problems)}
    chosen = sorted(answers, key=lambda answer: (order[answer.problem_id], answer.sampled))[:rows]
    return [
        {
            "problem": answer.problem_id,
            "difficulty": answer.difficulty,
            "sampled": answer.sampled,
            "passed": bool(answer.passed == 1),
            "test_pass_rate": answer.test_pass_rate,
            "tool_calls": answer.tool_calls,
            "prompt": answer.prompt,
            "answer": answer.text,
        }
        for answer in chosen
    ]


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean([float(value) for value in values])) if values else 0.0

"""What an evaluation comes to: metrics and a table of samples, from one record per answer. No torch, no verl."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from verl_coder.evaluation.pass_at_k import K_VALUES, mean_pass_at_k
from verl_coder.evaluation.statistics import given_statistics, mean, tool_statistics


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
    response_tokens: int
    """All turns and what the tools returned."""
    end_reason: str
    """Why the conversation ended (agent_loops/end_reason.py); empty where the loop does not say."""
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
        """Share of the hidden tests that pass; at least that, where the reward reports none (`report_tests`)."""
        return float(self.infos.get("pass_rate", self.passed))


def report_tests(answers: Sequence[Answer]) -> bool:
    """Whether the reward reports `pass_rate`; an answer that failed lacks it and has passed none."""
    return any("pass_rate" in answer.infos for answer in answers)


def evaluation_metrics(answers: Sequence[Answer]) -> dict[str, float]:
    """`eval/{greedy,sampled}/*`, and `eval_avg_test_pass_rate` (greedy), `..._sampled`.

    Of a reward that reports no share of tests, since it stops at the first that fails, a wrong answer has none.
    """
    metrics = {
        "eval/problems": float(len({answer.problem_id for answer in answers})),
        "eval/unavailable_share": mean([not answer.graded for answer in answers]),
        "eval/failed_share": mean([answer.failed for answer in answers]),
    }
    for sampled, kind, suffix in ((False, "greedy", ""), (True, "sampled", "_sampled")):
        graded = [answer for answer in answers if answer.sampled == sampled and answer.graded]
        if not graded:
            continue
        tools = tool_statistics([a.tool_calls for a in graded], [a.tool_successes for a in graded])
        metrics |= {
            f"eval_avg_test_pass_rate{suffix}": mean([answer.test_pass_rate for answer in graded]),
            f"eval/{kind}/pass_at_1": mean([answer.passed for answer in graded]),
            **{f"eval/{kind}/tool_calls/{name}": value for name, value in tools.items()},
            f"eval/{kind}/turns/mean": mean([answer.turns for answer in graded]),
            f"eval/{kind}/response_tokens/mean": mean([answer.response_tokens for answer in graded]),
        }
        if reasons := [answer.end_reason for answer in graded if answer.end_reason]:
            metrics[f"eval/{kind}/cut_off"] = mean([reason == "length" for reason in reasons])
        if any("no_code" in answer.infos for answer in graded):
            given = given_statistics(
                [not (answer.failed or answer.infos.get("no_code")) for answer in graded],
                [answer.passed for answer in graded],
            )
            metrics |= {f"eval/{kind}/given/{name}": value for name, value in given.items()}
        if sampled:
            metrics |= _sampled_pass_at_k(graded)
        for name in sorted({answer.difficulty for answer in graded}):
            metrics[f"eval/{kind}/pass_at_1/{name}"] = mean(
                [answer.passed for answer in graded if answer.difficulty == name]
            )
    return metrics


def _sampled_pass_at_k(answers: Sequence[Answer]) -> dict[str, float]:
    """`eval/sampled/pass_at_k` for k from 2 on, as far as every problem has samples."""
    right: dict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        right[answer.problem_id].append(answer.passed == 1)
    counts = [(len(found), sum(found)) for found in right.values()]
    least = min(n for n, _ in counts)
    return {f"eval/sampled/pass_at_{k}": mean_pass_at_k(counts, k) for k in K_VALUES if 1 < k <= least}


def sample_table(answers: Sequence[Answer], rows: int) -> list[dict[str, Any]]:
    """The same problems at every evaluation (as far as `rows` goes), greedy and sampled answers side by side."""
    problems = sorted({answer.problem_id for answer in answers})
    random.Random(0).shuffle(problems)
    order = {problem: place for place, problem in enumerate(problems)}
    chosen = sorted(answers, key=lambda answer: (order[answer.problem_id], answer.sampled))[:rows]
    tests = report_tests(answers)
    return [
        {
            "problem": answer.problem_id,
            "difficulty": answer.difficulty,
            "sampled": answer.sampled,
            "passed": bool(answer.passed == 1),
            **({"test_pass_rate": answer.test_pass_rate} if tests else {}),
            "tool_calls": answer.tool_calls,
            "prompt": answer.prompt,
            "answer": answer.text,
        }
        for answer in chosen
    ]

"""Share of the hidden tests that pass, in [0, 1]."""

from typing import Any

from verl_coder.rewards import grade_answer


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """score = pass rate."""
    report = await grade_answer(solution_str, ground_truth)
    return {
        "score": report.pass_rate,
        "acc": float(report.outcome == "passed"),
        "pass_rate": report.pass_rate,
        "no_code": float(report.outcome == "no_code"),
        "timeout": float(report.outcome == "timeout"),
        "sandbox_unavailable": float(report.outcome == "sandbox_unavailable"),
    }

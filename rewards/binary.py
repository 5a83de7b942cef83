"""1 if every hidden test passes, else 0; grading stops at the first test that does not.

A wrong answer earns at most 0, a right one at least 1.
"""

from typing import Any

from verl_coder.rewards import grade_answer, scored


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """score = acc."""
    report = await grade_answer(solution_str, ground_truth, stop_early=True)
    return scored(report, report.outcome == "passed")

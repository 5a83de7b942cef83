"""Share of the hidden tests that pass, in [0, 1].

A wrong answer earns less than 1 (all tests but one), a right one at least 1.
"""

from typing import Any

from verl_coder.rewards import grade_answer, scored


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """score = pass rate."""
    report = await grade_answer(solution_str, ground_truth)
    return scored(report, report.pass_rate, pass_rate=report.pass_rate)

"""A curve of the pass rate: partial credit that is worth less than its share, and a bonus for all tests.

A wrong answer earns less than 1 (less 0.5, as it is set), a right one at least 1. Set the curve here, or by
REWARD_EXPONENT and REWARD_ALL_PASSED in the environment of the run.
"""

import os
from typing import Any

from verl_coder.rewards import grade_answer, scored

EXPONENT = float(os.environ.get("REWARD_EXPONENT", "2"))
"""Above 1, the last tests are worth more than the first ones; 1 is the pass rate itself."""
ALL_PASSED = float(os.environ.get("REWARD_ALL_PASSED", "0.5"))
"""Share of the score that only a solution gets which passes every test."""


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """score = (1 - ALL_PASSED) * pass_rate ** EXPONENT + ALL_PASSED * acc, in [0, 1]."""
    report = await grade_answer(solution_str, ground_truth)
    acc = report.outcome == "passed"
    score = (1 - ALL_PASSED) * report.pass_rate**EXPONENT + ALL_PASSED * acc
    return scored(report, score, pass_rate=report.pass_rate)

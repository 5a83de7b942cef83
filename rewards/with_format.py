"""All tests passed, plus a small term for the form: a closed <think> block, then exactly one code block.

A wrong answer earns at most 0.1 (its form), a right one at least 0.9, no answer nothing.
"""

from typing import Any

from verl_coder.extraction import extract
from verl_coder.rewards import grade_answer, scored

FORMAT_WEIGHT = 0.1
"""Small: form must never pay more than being right."""


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """score = (1 - FORMAT_WEIGHT) * acc + FORMAT_WEIGHT * format, in [0, 1]."""
    found = extract(solution_str)
    well_formed = bool(found.think_closed and found.thinking and found.fenced and found.code_blocks == 1)
    report = await grade_answer(solution_str, ground_truth, stop_early=True)
    acc = report.outcome == "passed"
    score = (1 - FORMAT_WEIGHT) * acc + FORMAT_WEIGHT * well_formed
    return scored(report, score, format=well_formed)

"""1 for a right answer, up to a fifth less the longer it is: without it, length is paid for by nobody and may drift.

A wrong answer earns at most 0, a right one at least 0.8. The length is that of the final turn without its thinking: a
price on all turns would be one on the tool.
"""

from typing import Any

from verl_coder.extraction import extract
from verl_coder.rewards import grade_answer, scored

LENGTH_WEIGHT = 0.2
"""Small: two right answers differ by less than a right and a wrong one."""


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any],
    *,
    characters: float = 1000,
    **kwargs: Any,
) -> dict[str, float]:
    """score = acc * (1 - LENGTH_WEIGHT * min(1, length / characters)), in [0, 1].

    Beyond `characters` nothing more is taken off; 1000 are about 300 tokens of Python.
    """
    if not characters > 0:
        raise ValueError(f"characters={characters}: give a number above 0")
    report = await grade_answer(solution_str, ground_truth, stop_early=True)
    length = min(1.0, len(extract(solution_str).answer) / characters)
    return scored(report, (report.outcome == "passed") * (1 - LENGTH_WEIGHT * length), length=length)

"""The <program> tag protocol: right answer, right form, and programs that really ran.

1 for all tests, 0.1 for the form (one code block, after the last </output>), 0.1 for call_python: at least one
program that the sandbox ran with exit status 0. A wrong answer earns at most 0.2 (form and any program), a right one
at least 1, no answer nothing.
"""

from typing import Any

from verl_coder.extraction import extract
from verl_coder.rewards import grade_answer, scored

FORMAT_WEIGHT = 0.1
CALL_PYTHON_WEIGHT = 0.1


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """score = acc + FORMAT_WEIGHT * format + CALL_PYTHON_WEIGHT * call_python (0 or 1 each)."""
    found = extract(solution_str)
    report = await grade_answer(solution_str, ground_truth, stop_early=True)
    acc = report.outcome == "passed"
    form = found.fenced and found.code_blocks == 1
    call_python = ((extra_info or {}).get("tool_successes") or 0) > 0
    score = acc + FORMAT_WEIGHT * form + CALL_PYTHON_WEIGHT * call_python
    return scored(report, score, format=form, call_python=call_python)

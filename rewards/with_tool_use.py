"""Pass rate, plus a small term for running code: successful tool calls, capped, and only beside a right answer.

A wrong answer earns less than 1, a right one at least 1. `tool_successes` is counted by the tool itself (exit status
0), so text that looks like a call earns nothing.
"""

from typing import Any

from verl_coder.rewards import grade_answer, scored

TOOL_WEIGHT = 0.1
CALLS_THAT_COUNT = 2
"""More calls than this earn nothing more, so calling cannot be farmed."""


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """score = pass_rate + acc * TOOL_WEIGHT * min(successes, CALLS_THAT_COUNT) / CALLS_THAT_COUNT."""
    report = await grade_answer(solution_str, ground_truth)
    successes = float((extra_info or {}).get("tool_successes") or 0)
    tool_use = min(successes, CALLS_THAT_COUNT) / CALLS_THAT_COUNT
    # `print(1)` beside a wrong answer is worth nothing: all tests but one and a call would beat a right answer.
    score = report.pass_rate + (report.outcome == "passed") * TOOL_WEIGHT * tool_use
    return scored(report, score, pass_rate=report.pass_rate, tool_use=tool_use, tool_successes=successes)

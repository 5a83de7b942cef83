"""Pass rate, plus a small term for running code: successful tool calls, capped, and only beside some success.

`tool_successes` is counted by the tool itself (exit status 0), so text that looks like a call earns nothing.
"""

from typing import Any

from verl_coder.rewards import grade_answer, scored

TOOL_WEIGHT = 0.1
CALLS_THAT_COUNT = 2
"""More calls than this earn nothing more, so calling cannot be farmed."""


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any], **kwargs: Any
) -> dict[str, float]:
    """score = pass_rate + TOOL_WEIGHT * min(successes, CALLS_THAT_COUNT) / CALLS_THAT_COUNT * pass_rate."""
    report = await grade_answer(solution_str, ground_truth)
    successes = float((extra_info or {}).get("tool_successes") or 0)
    # Times the pass rate: `print(1)` beside a wrong answer is worth nothing.
    tool_use = min(successes, CALLS_THAT_COUNT) / CALLS_THAT_COUNT
    score = report.pass_rate * (1 + TOOL_WEIGHT * tool_use)
    return scored(report, score, pass_rate=report.pass_rate, tool_use=tool_use, tool_successes=successes)

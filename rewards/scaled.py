"""A curve of the pass rate: partial credit that is worth less than its share, and a bonus for all tests.

A wrong answer earns less than 1 (less than 0.5, as it is set), a right one at least 1.
"""

from typing import Any

from verl_coder.rewards import grade_answer, scored


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any],
    *,
    exponent: float = 2,
    all_passed: float = 0.5,
    **kwargs: Any,
) -> dict[str, float]:
    """score = (1 - all_passed) * pass_rate ** exponent + all_passed * acc, in [0, 1].

    With an `exponent` above 1 the last tests are worth more than the first ones; 1 is the pass rate itself.
    `all_passed` is the share of the score that only a solution gets which passes every test.
    """
    if not (exponent > 0 and 0 <= all_passed <= 1):
        raise ValueError(
            f"exponent={exponent} and all_passed={all_passed}: use an exponent above 0, and a share in [0, 1]"
        )
    report = await grade_answer(solution_str, ground_truth)
    acc = report.outcome == "passed"
    score = (1 - all_passed) * report.pass_rate**exponent + all_passed * acc
    return scored(report, score, pass_rate=report.pass_rate)

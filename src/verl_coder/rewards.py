"""What reward files share: the verdict on a completion, and the form of what they return."""

import json
import os
from collections.abc import Mapping
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.grading import TestReport, answer_code, grade
from verl_coder.problems import TestSuite, parse_test_suite
from verl_coder.sandbox import shared_client


async def grade_answer(
    solution_str: str, ground_truth: str | Mapping[str, Any], *, stop_early: bool = False
) -> TestReport:
    """The report on the code of the final answer, by the sandbox of $SANDBOX_URL (comma-separated URLs).

    `solution_str` is the decoded response of all turns. ConfigError without SANDBOX_URL, DataError for a
    broken row; a sandbox that does not answer is the outcome `sandbox_unavailable`.
    """
    urls = os.environ.get("SANDBOX_URL", "")
    if not urls:
        raise ConfigError(
            "SANDBOX_URL is not set: rewards need it (start one with `verl-coder sandbox serve`)"
        )
    suite = _suite(ground_truth if isinstance(ground_truth, str) else json.dumps(ground_truth))
    code = answer_code(solution_str, suite) or ""
    return await grade(code, suite, shared_client(urls), stop_early=stop_early)


_MOST_SUITES = 256
_MOST_KEPT = 8_000_000
"""Characters of the rows whose suites are kept; in memory a suite and its plan take some eight times as much."""
_suites: dict[str, TestSuite] = {}
"""The one that was used last stands last."""


def _suite(ground_truth: str) -> TestSuite:
    """A group's samples share one suite, hence one plan."""
    _suites[ground_truth] = suite = _suites.pop(ground_truth, None) or parse_test_suite(ground_truth)
    kept = sum(map(len, _suites))
    while len(_suites) > 1 and (len(_suites) > _MOST_SUITES or kept > _MOST_KEPT):
        oldest = next(iter(_suites))
        kept -= len(oldest)
        del _suites[oldest]
    return suite


def scored(report: TestReport, score: float, **terms: float) -> dict[str, float]:
    """What a reward function returns: `score`, 0 without a verdict or an answer, the keys of every reward, and `terms`.

    `acc` and `sandbox_unavailable` are read by validation and by the trainer; every key becomes a metric.
    """
    unavailable = report.outcome == "sandbox_unavailable"
    return {
        "score": 0.0 if unavailable or report.outcome == "no_code" else float(score),
        "acc": float(report.outcome == "passed"),
        **{name: float(value) for name, value in terms.items()},
        "no_code": float(report.outcome == "no_code"),
        "timeout": float(report.outcome == "timeout"),
        "sandbox_unavailable": float(unavailable),
    }

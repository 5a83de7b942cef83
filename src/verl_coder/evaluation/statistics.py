"""What answers come to, whoever gave them: the numbers that evaluation while training and afterwards share."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def mean(values: Sequence[Any]) -> float:
    """0 where there is none."""
    return float(np.mean([float(value) for value in values])) if values else 0.0


def tool_statistics(calls: Sequence[int], successes: Sequence[int]) -> dict[str, float]:
    """Calls of each answer: their mean, the share of answers that call, the share of calls that end well."""
    return {
        "mean": mean(calls),
        "rate": mean([count > 0 for count in calls]),
        "success_rate": sum(successes) / max(sum(calls), 1),
    }


def given_statistics(given: Sequence[bool], solved: Sequence[Any]) -> dict[str, float]:
    """Answers that hold code at all: their share, and the share of them that pass, which is not there without any.

    A model that checks its answer with a tool may give none where the check fails: it then is right less often than it
    answers, and pass@1 is the product of the two.
    """
    right = [passed for has_code, passed in zip(given, solved, strict=True) if has_code]
    return {"rate": mean(given), **({"pass_rate": mean(right)} if right else {})}


def spread(values: Sequence[int]) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum."""
    if not values:
        return {}
    middle, high = np.percentile(values, [50, 95])
    return {"mean": mean(values), "p50": float(middle), "p95": float(high), "max": float(max(values))}

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


def spread(values: Sequence[int]) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum."""
    if not values:
        return {}
    middle, high = np.percentile(values, [50, 95])
    return {"mean": mean(values), "p50": float(middle), "p95": float(high), "max": float(max(values))}

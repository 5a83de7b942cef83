"""Samples whose reward or rollout failed: what is said of them, and what stands in their place.

A worker (evaluation/workers.py) notes the fault beside the sample; the trainer (sample_masks.py) counts, masks or ends.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from verl_coder.run.backup import number

FAULT = "fault"
"""Key in a sample's `extra_fields`: a SampleFault as a dict."""
Kind = Literal["reward_raised", "bad_score", "lost"]


@dataclass(frozen=True, kw_only=True)
class SampleFault:
    """Why a sample has no score of its own."""

    kind: Kind
    what: str
    """In words: the exception, the score, or why there is no rollout."""
    where: str
    """The sample's place: `problem mbpp/12, sample 3`."""

    def infos(self) -> dict[str, float]:
        """What stands in the place of the reward's own dict: failed, by every metric."""
        return {"score": 0.0, "acc": 0.0, "sandbox_unavailable": 0.0, self.kind: 1.0}


def sample_place(kwargs: Mapping[str, Any]) -> str:
    """`problem mbpp/12, sample 3` of an agent loop's arguments."""
    info = kwargs.get("extra_info") or {}
    name = info.get("problem_id") or kwargs.get("uid")
    return f"problem {name}, sample {kwargs.get('session_id', 0)}"


def score_fault(score: Any, infos: Any, also: str = "") -> str:
    """What is wrong with a reward's answer: a score, an `acc`, or the value `also`, that is no finite number; else
    empty.
    """
    values = {"score": score}
    if isinstance(infos, Mapping):
        values |= {name: infos[name] for name in ("acc", also) if name in infos}
    for name, value in values.items():
        value = number(value)
        if not isinstance(value, int | float) or not math.isfinite(value):
            return (
                f"{name} is {str(value)[:80]!r}" if isinstance(value, str) else f"{name} is {str(value)[:80]}"
            )
    return ""


def single_precision(value: float) -> float:
    """The nearest float32: sums of such numbers are exact in float64, so that a group's equal values deviate by 0.

    verl filters groups by `np.std(values) == 0.0`, and of three times 0.1 that is 1e-17.
    """
    return float(np.float32(value))


def error_words(error: BaseException) -> str:
    """`KeyError: 'difficulty'`, without Ray's traceback around it."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = (lines[-1] if lines else "")[:200]
    name = type(cause).__name__
    return text if text.startswith(name) else f"{name}: {text}".rstrip(": ")


class RolloutClock:
    """How long a trajectory may take, from those that have ended: a hung one is told from a long one.

    The slowest rate seen times the longest response that is allowed, twice over, and never below `least_s`; before
    any has ended, `first_s`.
    """

    def __init__(
        self, *, max_tokens: int, least_s: float, first_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_tokens, self._least_s, self._first_s, self._now = max_tokens, least_s, first_s, now
        self._slowest_s_per_token = 0.0
        self._last_end = now()

    def ended(self, *, seconds: float | None, tokens: int) -> None:
        """A trajectory has ended; None: its seconds say nothing, but others waited behind it."""
        if seconds is not None:
            self._slowest_s_per_token = max(self._slowest_s_per_token, seconds / max(tokens, 1))
        self._last_end = self._now()

    @property
    def limit_s(self) -> float:
        """What a trajectory may take from now on."""
        if not self._slowest_s_per_token:
            return self._first_s
        return max(self._least_s, 2 * self._slowest_s_per_token * self._max_tokens)

    def is_over(self, started: float) -> bool:
        """Whether a trajectory begun at `started` is lost: past its limit, and no other has ended for `least_s`."""
        now = self._now()
        return now - started > self.limit_s and now - self._last_end > self._least_s


def faults_of(extra_fields: Sequence[Mapping[str, Any]]) -> list[SampleFault | None]:
    """The fault of each row, None for one that has none."""
    return [SampleFault(**fields[FAULT]) if fields.get(FAULT) else None for fields in extra_fields]

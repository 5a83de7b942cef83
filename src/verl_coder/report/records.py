"""What the readers of runs and evaluations hand to the page: trajectories, and what is said about a folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

KINDS = ("training", "held-out, greedy", "held-out, sampled", "evaluation")
"""Where a trajectory comes from."""


_NOT_YET = " is not there yet"


def not_yet(name: str, words: str = "") -> str:
    """A note on a part that cannot be there yet, or only in part: it is not missing."""
    return f"{name}{_NOT_YET}{words and ': '}{words}"


def split_notes(notes: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what is missing or broken, what is not there yet)."""
    to_come = [note for note in notes if _NOT_YET in note]
    return [note for note in notes if note not in to_come], to_come


@dataclass(kw_only=True, slots=True)
class TrajectoryRecord:
    """One answer with all its turns, as the page needs it; None where the files do not say."""

    kind: str
    step: int | None
    problem: str
    """The problem's id; empty where the files name none (its title stands for it then)."""
    group: str
    """What answers to one prompt share, within its file."""
    outcome: str
    reward: float | None
    prompt: str
    output: str
    source: str = ""
    difficulty: str = ""
    calls: int | None = None
    """Tool calls that were answered; counted in the text where the file has no number."""
    successes: int | None = None
    """Of them those whose program ended well; where the file does not say that, those that reached the tool."""
    turns: int | None = None
    """The model's own."""
    response_tokens: int | None = None
    advantage: float | None = None
    terms: dict[str, float] = field(default_factory=dict)
    """What the reward function returned beside the score."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else is worth a line: sample number, finish reason, seconds."""
    code: str | None = None
    """The code that was graded."""
    verdicts: list[dict[str, Any]] | None = None
    """The verdict on each test."""
    tests: str = ""
    """The hidden tests, as the row has them."""
    tokens: dict[str, list[Any]] | None = None
    """`text`, `learnt` (0 or 1) and `log_prob` of each token of the response."""


def outcome_of(infos: Mapping[str, Any], score: float | None) -> str:
    """The verdict in a word, from what the reward function returned; by the reward alone where it is not there."""
    for name in ("sandbox_unavailable", "no_code", "timeout"):
        if infos.get(name):
            return name
    if isinstance(infos.get("acc"), int | float):
        return "passed" if infos["acc"] >= 1 else "failed"
    if score is None:
        return "no reward"
    return "reward 1 or more" if score >= 1 else "reward 0 or less" if score <= 0 else "reward between"


def number(value: Any) -> float | None:
    """A finite number, else None: JSON has no NaN."""
    try:
        return float(value) if isinstance(value, bool | int | float) and math.isfinite(value) else None
    except OverflowError:  # a whole number beyond 1.8e308
        return None


def whole(value: Any) -> int | None:
    """A whole number, else None."""
    found = number(value)
    return None if found is None else int(found)


def text_of(value: Any) -> str:
    """Text as it is, None as nothing, anything else as JSON-like text."""
    return value if isinstance(value, str) else "" if value is None else str(value)

"""Which samples become traces: those that pass, all, or the best one of each problem."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from verl_coder.teacher.synthesis import TeacherSample

Keep = Literal["passing", "all", "best-of-n"]


def select(
    samples: Sequence[TeacherSample], keep: Keep, *, per_problem: int
) -> tuple[list[TeacherSample], Counter[str]]:
    """(samples to write, how many were dropped by reason).

    Of a problem at most `per_problem` are kept: distinct codes first, and short answers before long ones.
    """
    dropped: Counter[str] = Counter()
    problems: dict[int, list[TeacherSample]] = {}
    seen: set[tuple[int, str]] = set()
    for sample in sorted(samples, key=lambda one: (one.task, one.number)):
        reason = sample.dropped or _reason(sample, keep)
        if not reason and (sample.task, sample.text_key) in seen:
            reason = "word for word another of its problem"
        seen.add((sample.task, sample.text_key))
        if reason:
            dropped[reason] += 1
        else:
            problems.setdefault(sample.task, []).append(sample)
    kept: list[TeacherSample] = []
    for found in problems.values():
        if keep == "best-of-n":
            ranked, most, why = sorted(found, key=_rank), 1, "not the best of its problem"
        else:
            ranked, most, why = _distinct_first(found), per_problem, f"more than {per_problem} of its problem"
        kept += ranked[:most]
        if len(ranked) > most:
            dropped[why] += len(ranked) - most
    return kept, dropped


def _reason(sample: TeacherSample, keep: Keep) -> str:
    verdict = sample.verdict
    assert verdict is not None
    if keep == "passing" and not sample.passed:
        return "wrong answer" if verdict.outcome == "failed" else f"verdict: {verdict.outcome}"
    if keep == "best-of-n" and not verdict.passed:
        return "no test passes"
    return ""


def _rank(sample: TeacherSample) -> tuple[float, int, int]:
    assert sample.verdict is not None
    return -sample.verdict.pass_rate, sample.completion_tokens, sample.number


def _distinct_first(samples: Sequence[TeacherSample]) -> list[TeacherSample]:
    firsts: list[TeacherSample] = []
    repeats: list[TeacherSample] = []
    seen: set[str] = set()
    for sample in sorted(samples, key=lambda one: (one.completion_tokens, one.number)):
        (repeats if sample.code_key in seen else firsts).append(sample)
        seen.add(sample.code_key)
    return firsts + repeats

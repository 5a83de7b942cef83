"""How many of a step's groups say anything: `groups/*`, the first numbers to look at where a curve is flat."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from verl_coder.trainer.recipe_trainer import place_of
from verl_coder.words import counted

_SILENT = 3
"""Of four groups half have a signal in a run that learns: one or two steps without any are chance."""


def group_statistics(
    keys: Sequence[str], has_advantage: Sequence[bool], passed: Sequence[float | None]
) -> dict[str, float]:
    """Shares of the groups, the samples of one prompt, from columns of a step's rows.

    `groups/with_signal`: some sample has an advantage, so the policy term has a gradient; `groups/rows_with_signal`:
    the share of the samples that have one. `groups/all_passed` and `groups/none_passed`: the usual causes of a group
    without one; a sample without a verdict (`passed` is None) says nothing there, and a reward function that reports
    no `acc` leaves both out.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        groups[place_of(key)[0]].append(row)
    if not groups:
        return {}
    statistics = {
        "groups/with_signal": _share(any(has_advantage[row] for row in group) for group in groups.values()),
        "groups/rows_with_signal": _share(has_advantage),
    }
    verdicts = [
        known
        for group in groups.values()
        if (known := [value for row in group if (value := passed[row]) is not None])
    ]
    if verdicts:
        statistics["groups/all_passed"] = _share(min(known) == 1 for known in verdicts)
        statistics["groups/none_passed"] = _share(max(known) == 0 for known in verdicts)
    return statistics


class SilentSteps:
    """Steps one behind the other from which the policy learns nothing."""

    def __init__(self) -> None:
        self._count = 0

    def words(self, statistics: Mapping[str, float]) -> str:
        """What to say behind a step with these `groups/*`: empty but where it is the third or a later one in a row."""
        self._count = self._count + 1 if statistics.get("groups/with_signal", 1.0) == 0.0 else 0
        if self._count < _SILENT:
            return ""
        cures = {
            "groups/none_passed": "all are wrong: take easier problems, more samples of each, more tokens, or a reward "
            "by the share of tests",
            "groups/all_passed": "all are right: take harder problems",
        }
        cause = next((cure for name, cure in cures.items() if statistics.get(name) == 1.0), "")
        return (
            f"{counted(self._count, 'step')} in a row had no group of samples with different rewards, so the policy "
            f"has learnt nothing from them{f' ({cause})' if cause else ''}"
        )


def _share(flags: Iterable[bool]) -> float:
    found = [bool(flag) for flag in flags]
    return sum(found) / len(found)

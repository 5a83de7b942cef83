"""The table of an ablation, where runs named `<arm>-seed<n>` stand side by side."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verl_coder.launch.arms import ArmResult, table_rows
from verl_coder.report.records import number


def ablation_table(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per arm as `verl-coder ablation table` has it; empty where no two arms or seeds are there."""
    results = [result for run in runs if (result := _result(run)) is not None]
    return table_rows(results) if len(results) > 1 else []


def _result(run: Mapping[str, Any]) -> ArmResult | None:
    """A finished run of an arm; None for any other."""
    name = re.fullmatch(r"(.+)-seed(\d{1,9})", Path(str(run["path"])).name)
    summary = run.get("summary")
    if name is None or not summary:
        return None
    values: list[float | None] = []
    for table, key in (("pass_at_1", "before"), ("pass_at_1", "after"), ("tool_calls_per_problem", "after")):
        column = summary.get(table)
        values.append(number(column.get(key)) if isinstance(column, Mapping) else None)
    before, after, calls = values
    step_s = number(summary.get("step_s"))
    if after is None or step_s is None:
        return None
    return ArmResult(
        arm=name.group(1),
        seed=int(name.group(2)),
        before=before,
        after=after,
        tool_calls=calls or 0.0,  # an arm without a tool has no such metric
        step_s=step_s,
    )

"""Tables over several folders: the arms of an ablation, and the paired comparisons beside evaluations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verl_coder.evaluation.folder import COMPARISON, SAMPLES
from verl_coder.files import file_sha256
from verl_coder.launch.arms import ArmResult, arm_and_seed, table_rows
from verl_coder.report.records import number, text_of, whole
from verl_coder.report.training_run import json_file


def ablation_table(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per arm as `verl-coder ablation table` has it; empty where no two arms or seeds are there."""
    results = [result for run in runs if (result := _result(run)) is not None]
    return table_rows(results) if len(results) > 1 else []


def _result(run: Mapping[str, Any]) -> ArmResult | None:
    """A finished run of an arm; None for any other."""
    found = arm_and_seed(Path(str(run["path"])).name)
    summary = run.get("summary")
    if found is None or not summary or summary.get("seed", found[1]) != found[1]:
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
        arm=found[0],
        seed=found[1],
        before=before,
        after=after,
        tool_calls=calls or 0.0,  # an arm without a tool has no such metric
        step_s=step_s,
    )


def comparison_files(evaluations: Sequence[Path]) -> list[Path]:
    """Where comparisons of these folders would stand: beside them."""
    return list(dict.fromkeys(folder.resolve().parent / COMPARISON for folder in evaluations))


def paired_comparisons(evaluations: Sequence[Path]) -> list[dict[str, Any]]:
    """Of each `comparison.json` beside evaluations of the report: its path, rows, and what cannot be read of it.

    A row is one evaluation against another, where the report shows both: the folders of these names, with the very
    samples that were compared.
    """
    found = []
    known: dict[Path, str | None] = {}
    for path in comparison_files(evaluations):
        notes: list[str] = []
        rows = json_file(path, notes, "").get("comparisons")
        shown = []
        for one in rows if isinstance(rows, list) else ():
            row = _comparison(one) if isinstance(one, Mapping) else None
            sides = row and [_named(evaluations, row[side]) for side in ("first", "second")]
            if row is None or not sides or not all(sides):
                continue
            # One that was written before there were digests cannot be told apart.
            wanted = [one.get(f"{side}_samples") for side in ("first", "second")]
            if all(
                digest is None or any(_digest(folder / SAMPLES, known) == digest for folder in folders)
                for digest, folders in zip(wanted, sides, strict=True)
            ):
                shown.append(row)
            else:
                notes.append(
                    f"{path.name}: {row['second']} was held against {row['first']} with other samples than "
                    "those here: compare them again"
                )
        if shown or notes:
            found.append({"path": str(path), "rows": shown, "missing": notes})
    return found


def _named(folders: Sequence[Path], name: str) -> list[Path]:
    parts = Path(name).parts
    return [folder for folder in folders if parts and folder.resolve().parts[-len(parts) :] == parts]


def _digest(path: Path, known: dict[Path, str | None]) -> str | None:
    """Of the file, read once; None where there is none."""
    if path not in known:
        known[path] = file_sha256(path) if path.is_file() else None
    return known[path]


def _two_numbers(found: Any) -> tuple[float | None, float | None]:
    first, second = found if isinstance(found, list) and len(found) == 2 else (None, None)
    return number(first), number(second)


def _comparison(one: Mapping[str, Any]) -> dict[str, Any] | None:
    """One comparison as the page shows it; None where it has no difference or no p-value."""
    difference, p_value = number(one.get("difference")), number(one.get("adjusted_p_value"))
    if difference is None or p_value is None:
        return None
    before, after = _two_numbers(one.get("rates"))
    low, high = _two_numbers(one.get("interval"))
    won, lost = (len(found) if isinstance(found := one.get(name), list) else None for name in ("won", "lost"))
    return {
        "first": text_of(one.get("first")),
        "second": text_of(one.get("second")),
        "problems": whole(one.get("problems")),
        "before": before,
        "after": after,
        "difference": difference,
        "low": low,
        "high": high,
        "won": won,
        "lost": lost,
        "p_value": p_value,
        "verdict": text_of(one.get("verdict")),
    }

"""Arms of a recipe, and what their finished runs came to: means over seeds, paired differences on the same problems."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pyarrow.parquet as pq
import yaml

from verl_coder.errors import ConfigError
from verl_coder.evaluation.paired import Counts, PairedComparison, compare_paired, holm
from verl_coder.files import json_lines
from verl_coder.words import did_you_mean
from verl_coder.yaml_files import read_yaml

BASE_ARM = "base"
"""Not trained: the evaluation before training of all runs."""


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One finished run of an arm."""

    arm: str
    seed: int
    before: float | None
    """None for a run that was not evaluated before training."""
    after: float
    tool_calls: float
    step_s: float


def read_arms(recipe_folder: Path) -> dict[str, tuple[str, ...]]:
    """Hydra overrides by arm, from `arms.yaml`; ConfigError names what is wrong with it."""
    path = recipe_folder / "arms.yaml"
    if not path.is_file():
        raise ConfigError(f"{recipe_folder} has no arms.yaml: it names the arms and their overrides")
    arms = read_yaml(path, str(path))
    if not isinstance(arms, Mapping) or not arms:
        raise ConfigError(f"{path}: give a mapping from an arm's name to a list of overrides")
    for name, overrides in arms.items():
        if not isinstance(overrides, list) or not all(isinstance(o, str) for o in overrides):
            raise ConfigError(f"{path}: {name} is {overrides!r}; give a list of Hydra overrides, [] for none")
    return {str(name): tuple(overrides) for name, overrides in arms.items()}


def choose_arms(arms: Mapping[str, tuple[str, ...]], wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The wanted arms, all of them where none is named."""
    for name in wanted:
        if name not in arms:
            raise ConfigError(f"no arm {name!r}; {did_you_mean(name, arms)}")
    return {name: arms[name] for name in wanted or arms}


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Where a run of an arm stands."""
    return out / f"{arm}-seed{seed}"


def collect(out: Path, arms: Sequence[str]) -> list[ArmResult]:
    """Results of all finished runs under `out`, arm by arm."""
    results = []
    for arm in arms:
        for path in sorted(out.glob(f"{arm}-seed*/summary.json")):
            summary = json.loads(path.read_text())
            before = summary["pass_at_1"]["before"]
            if summary["pass_at_1"]["after"] is None:
                raise ConfigError(
                    f"{path}: the run was not evaluated (trainer.test_freq): remove it, and run it again"
                )
            results.append(
                ArmResult(
                    arm=arm,
                    seed=int(summary["seed"]),
                    before=None if before is None else float(before),
                    after=float(summary["pass_at_1"]["after"]),
                    # An arm without a tool has no such metric.
                    tool_calls=float(summary["tool_calls_per_problem"]["after"] or 0.0),
                    step_s=float(summary["step_s"]),
                )
            )
    return results


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and half the width of its 95 % interval over seeds by Student's t; None below two values."""
    if len(values) < 2:
        return mean(values), None
    from scipy.stats import t as student  # half a second, which only the table needs

    return mean(values), float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def table_rows(results: Sequence[ArmResult]) -> list[dict[str, Any]]:
    """One row per arm, the base first: seeds, pass@1, tool calls per problem, seconds a step, each with interval.

    What no run was evaluated for before training is None; the base then has no row.
    """
    rows: list[dict[str, Any]] = []
    # Arms with prompts of their own have a base each: what one seed's runs begin with is averaged first.
    before: dict[int, list[float]] = defaultdict(list)
    for result in results:
        if result.before is not None:
            before[result.seed].append(result.before)
    if before:
        values = [mean(each) for each in before.values()]
        rows.append({"arm": BASE_ARM, "seeds": len(values), "pass_at_1": mean_and_interval(values)})
    for arm in dict.fromkeys(result.arm for result in results):
        mine = [result for result in results if result.arm == arm]
        begun = [result.before for result in mine if result.before is not None]
        rows.append(
            {
                "arm": arm,
                "seeds": len(mine),
                "before": mean_and_interval(begun) if begun else None,
                "pass_at_1": mean_and_interval([r.after for r in mine]),
                "tool_calls": mean_and_interval([r.tool_calls for r in mine]),
                "step_s": mean_and_interval([r.step_s for r in mine]),
            }
        )
    return rows


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table, `mean ± half interval`."""
    lines = [
        "| arm | seeds | before | held-out pass@1 | tool calls a problem | seconds a step |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [
            _cell(row.get(name), digits)
            for name, digits in (("before", 3), ("pass_at_1", 3), ("tool_calls", 2), ("step_s", 1))
        ]
        lines.append(f"| {row['arm']} | {row['seeds']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: tuple[float, float | None] | None, digits: int) -> str:
    if value is None:
        return "-"
    center, half = value
    return f"{center:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


def last_answers(run: Path) -> dict[str, bool]:
    """Problem -> whether its greedy answer passed at the last evaluation; empty where no file of one is there."""
    files = sorted((run / "validation").glob("*.jsonl"), key=lambda path: int(path.stem))
    if not files:
        return {}
    return {
        str(row["problem_id"]): row.get("acc") == 1
        for row in json_lines(files[-1])
        if not row.get("sampled") and not row.get("sandbox_unavailable")
    }


def pooled(out: Path, arm: str, seeds: Sequence[int]) -> Counts:
    """Problem -> (seeds, seeds whose run solves it)."""
    answers: dict[str, list[bool]] = defaultdict(list)
    for seed in seeds:
        for problem, passed in last_answers(run_folder(out, arm, seed)).items():
            answers[problem].append(passed)
    return {problem: (len(each), sum(each)) for problem, each in answers.items()}


def paired_with(out: Path, results: Sequence[ArmResult], reference: str) -> list[PairedComparison]:
    """Each arm against `reference`, on the seeds that both have finished; p-values after Holm's correction."""
    seeds: dict[str, set[int]] = defaultdict(set)
    for result in results:
        seeds[result.arm].add(result.seed)
    found = []
    for arm in seeds:
        common = sorted(seeds[arm] & seeds.get(reference, set()))
        first, second = pooled(out, reference, common), pooled(out, arm, common)
        if arm != reference and set(first) & set(second):
            found.append(compare_paired(reference, first, arm, second))
    adjusted = holm([each.p_value for each in found])
    return [
        PairedComparison(**{**vars(each), "adjusted_p_value": p})
        for each, p in zip(found, adjusted, strict=True)
    ]


def paired_table(comparisons: Sequence[PairedComparison]) -> str:
    """The comparisons as a Markdown table; empty where there is none."""
    if not comparisons:
        return ""
    lines = [
        f"| arm | pass@1 less that of {comparisons[0].first} | 95 % interval over problems | won, lost | p (Holm) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in comparisons:
        interval = "-" if each.interval is None else f"{each.interval[0]:+.3f} to {each.interval[1]:+.3f}"
        lines.append(
            f"| {each.second} | {each.difference:+.3f} | {interval} | {len(each.won)}, {len(each.lost)} "
            f"| {each.adjusted_p_value:.2g} |"
        )
    return "\n".join(lines) + "\n"


def tag_table(out: Path, results: Sequence[ArmResult]) -> str:
    """pass@1 of each arm by the first tag of its held-out rows; empty where the rows have none."""
    shares: dict[str, dict[str, list[float]]] = {}
    for result in results:
        folder = run_folder(out, result.arm, result.seed)
        tags, answers = _first_tags(folder), last_answers(folder)
        for tag in dict.fromkeys(tags.values()):
            passed = [right for problem, right in answers.items() if tags.get(problem) == tag]
            if tag and passed:
                shares.setdefault(result.arm, {}).setdefault(tag, []).append(mean(passed))
    names = sorted({tag for arm in shares.values() for tag in arm})
    if len(names) < 2:
        return ""
    lines = [f"| arm | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    for arm, values in shares.items():
        cells = [_cell(mean_and_interval(values[tag]) if tag in values else None, 3) for tag in names]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _first_tags(run: Path) -> dict[str, str]:
    """Problem -> first tag, from the held-out files that the run's configuration names."""
    try:
        files = yaml.safe_load((run / "config.yaml").read_text())["data"]["val_files"]
        rows = [row for file in files for row in pq.read_table(file, columns=["extra_info"]).to_pylist()]
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return {}
    infos = [row["extra_info"] for row in rows]
    return {info["problem_id"]: (info.get("tags") or [""])[0] for info in infos}

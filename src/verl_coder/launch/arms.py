"""Arms of a recipe, and what their finished runs came to: means over seeds, paired differences on the same problems."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pyarrow.parquet as pq
import yaml

from verl_coder.errors import CheckpointError, ConfigError, DataError
from verl_coder.evaluation.paired import Counts, PairedComparison, compare_paired, holm
from verl_coder.files import json_lines
from verl_coder.json_text import is_number
from verl_coder.launch.summary import pass_rate
from verl_coder.run.run_dir import RunDir
from verl_coder.words import did_you_mean
from verl_coder.yaml_files import read_yaml

BASE_ARM = "base"
"""Not trained: the evaluation before training of all runs."""
_NAME = re.compile(r"(.+)-seed(0|[1-9]\d{0,8})")


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
    steps: int | None = None
    """None where nobody says."""


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


def arm_and_seed(name: str) -> tuple[str, int] | None:
    """Whose run a folder of that name is; None for any other, as `grpo-seed0-old`, a copy."""
    found = _NAME.fullmatch(name)
    return (found.group(1), int(found.group(2))) if found else None


def collect(out: Path, arms: Sequence[str], recipe: str = "") -> list[ArmResult]:
    """Results of all finished runs under `out`, arm by arm.

    ConfigError or CheckpointError for a run that cannot count: it is of another seed or recipe than its place says,
    was not evaluated, or has a broken summary.
    """
    found = [arm_and_seed(path.parent.name) for path in out.glob("*/summary.json")]
    runs = sorted(run for run in found if run is not None)
    return [_result(run_folder(out, *run), *run, recipe) for arm in arms for run in runs if run[0] == arm]


def _result(folder: Path, arm: str, seed: int, recipe: str) -> ArmResult:
    run_dir = RunDir(folder)
    summary, path = run_dir.read_summary(), run_dir.summary
    for name, here, there in (("seed", seed, summary["seed"]), ("recipe", recipe, summary["recipe"])):
        if here != "" and here != there:
            raise ConfigError(f"{folder} is a run of {name} {there}, not of {name} {here}: move it elsewhere")
    after = _number(path, summary, "pass_at_1", "after")
    if after is None:
        raise ConfigError(
            f"{path}: the run was not evaluated (trainer.test_freq): remove it, and run it again"
        )
    return ArmResult(
        arm=arm,
        seed=seed,
        before=_number(path, summary, "pass_at_1", "before"),
        after=after,
        # An arm without a tool has no such metric.
        tool_calls=_number(path, summary, "tool_calls_per_problem", "after") or 0.0,
        step_s=_number(path, summary, "step_s") or 0.0,
        steps=summary["steps"],
    )


def _number(path: Path, summary: Mapping[str, Any], *keys: str) -> float | None:
    """The number of a summary, None where it is null; CheckpointError for anything else."""
    value: Any = summary
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else math.nan
    if value is None:
        return None
    if not is_number(value):
        raise CheckpointError(
            f"{path} is broken ({'.'.join(keys)} is {value}): remove it, and the same command makes it again"
        )
    return float(value)


def notes(out: Path, results: Sequence[ArmResult], reference: str) -> list[str]:
    """What the tables do not show, a line each: runs of other lengths, seeds without answers, no comparison."""
    found = []
    for arm, mine in _by_arm(results).items():
        steps = sorted({result.steps for result in mine if result.steps is not None})
        if len(steps) > 1:
            words = ", ".join(f"seed {result.seed} {result.steps}" for result in mine)
            found.append(f"{arm}: its runs have not the same number of steps ({words})")
    for result in results:
        folder = run_folder(out, result.arm, result.seed)
        if not last_answers(folder):
            found.append(f"{folder.name} has no answers of its last evaluation: not compared, and in no tag")
    if len(_by_arm(results)) > 1 and not paired_with(out, results, reference):
        there = any(result.arm == reference for result in results)
        why = "shares no seed with answers with another arm" if there else "has no finished run"
        found.append(f"no paired comparison: {reference} {why}; name another arm with --against")
    return found


def _by_arm(results: Sequence[ArmResult]) -> dict[str, list[ArmResult]]:
    found: dict[str, list[ArmResult]] = defaultdict(list)
    for result in results:
        found[result.arm].append(result)
    return dict(found)


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
    """Problem -> whether its greedy answer passed at the last evaluation; empty where that has left no file.

    The last one is that of the metrics, as in summary.json: an older evaluation's answers are not those of the model.
    """
    run_dir = RunDir(run)
    evaluated = [line["step"] for line in run_dir.read_metrics() if pass_rate(line["data"]) is not None]
    files = [
        path
        for step, path in run_dir.sample_files()
        if path.parent == run / "validation" and evaluated and step == evaluated[-1]
    ]
    found = {}
    for row in json_lines(files[0]) if files else ():
        if not isinstance(row, dict) or "problem_id" not in row:
            raise DataError(f"{files[0]} is broken (a row without problem_id): remove it")
        if not row.get("sampled") and not row.get("sandbox_unavailable"):
            found[str(row["problem_id"])] = row.get("acc") == 1
    return found


def pooled(runs: Sequence[Mapping[str, bool]]) -> Counts:
    """Problem -> (seeds, seeds whose run solves it)."""
    answers: dict[str, list[bool]] = defaultdict(list)
    for run in runs:
        for problem, passed in run.items():
            answers[problem].append(passed)
    return {problem: (len(each), sum(each)) for problem, each in answers.items()}


def paired_with(out: Path, results: Sequence[ArmResult], reference: str) -> list[PairedComparison]:
    """Each arm against `reference`, on the seeds whose answers both have; p-values after Holm's correction."""
    answers: dict[str, dict[int, dict[str, bool]]] = defaultdict(dict)
    for result in results:
        if passed := last_answers(run_folder(out, result.arm, result.seed)):
            answers[result.arm][result.seed] = passed
    found = []
    for arm, mine in answers.items():
        others = answers.get(reference, {})
        common = sorted(mine.keys() & others.keys())
        first, second = (pooled([runs[seed] for seed in common]) for runs in (others, mine))
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

"""Several arms of one recipe, each with several seeds, and one table of what came out."""

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import typer
import yaml

from verl_coder.errors import ConfigError, VerlCoderError
from verl_coder.files import write_atomically
from verl_coder.launch.recipe import find_recipe

BASE_ARM = "base"
"""Not trained: the evaluation before training of all runs."""

_T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Student's t at 97.5 % by degrees of freedom; above, the normal distribution's 1.96 is near."""


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One finished run of an arm."""

    arm: str
    seed: int
    before: float
    after: float
    tool_calls: float
    step_s: float


def read_arms(recipe_folder: Path) -> dict[str, tuple[str, ...]]:
    """Hydra overrides by arm, from `arms.yaml`; ConfigError names what is wrong with it."""
    path = recipe_folder / "arms.yaml"
    if not path.is_file():
        raise ConfigError(f"{recipe_folder} has no arms.yaml: it names the arms and their overrides")
    try:
        arms = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
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
            raise ConfigError(f"no arm {name!r}: there are {', '.join(arms)}")
    return {name: arms[name] for name in wanted or arms}


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Where a run of the ablation stands."""
    return out / f"{arm}-seed{seed}"


def collect(out: Path, arms: Sequence[str]) -> list[ArmResult]:
    """Results of all finished runs under `out`, arm by arm."""
    results = []
    for arm in arms:
        for path in sorted(out.glob(f"{arm}-seed*/summary.json")):
            summary = json.loads(path.read_text())
            if summary["pass_at_1"]["after"] is None:
                raise ConfigError(
                    f"{path}: the run was not evaluated (trainer.test_freq): remove it, and run it again"
                )
            results.append(
                ArmResult(
                    arm=arm,
                    seed=int(summary["seed"]),
                    before=float(summary["pass_at_1"]["before"]),
                    after=float(summary["pass_at_1"]["after"]),
                    tool_calls=float(summary["tool_calls_per_problem"]["after"]),
                    step_s=float(summary["step_s"]),
                )
            )
    return results


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and half the width of its 95 % interval over seeds by Student's t; None below two values."""
    if len(values) < 2:
        return mean(values), None
    return mean(values), _T_975.get(len(values) - 1, 1.96) * stdev(values) / math.sqrt(len(values))


def table_rows(results: Sequence[ArmResult]) -> list[dict[str, Any]]:
    """One row per arm, the base first: seeds, pass@1, tool calls per problem, seconds a step, each with interval."""
    rows: list[dict[str, Any]] = []
    if results:
        before = {r.seed: r.before for r in results}
        rows.append(
            {"arm": BASE_ARM, "seeds": len(before), "pass_at_1": mean_and_interval(list(before.values()))}
        )
    for arm in dict.fromkeys(result.arm for result in results):
        mine = [result for result in results if result.arm == arm]
        rows.append(
            {
                "arm": arm,
                "seeds": len(mine),
                "pass_at_1": mean_and_interval([r.after for r in mine]),
                "tool_calls": mean_and_interval([r.tool_calls for r in mine]),
                "step_s": mean_and_interval([r.step_s for r in mine]),
            }
        )
    return rows


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table, `mean ± half interval`."""
    lines = [
        "| arm | seeds | held-out pass@1 | tool calls a problem | seconds a step |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [
            _cell(row.get(name), digits)
            for name, digits in (("pass_at_1", 3), ("tool_calls", 2), ("step_s", 1))
        ]
        lines.append(f"| {row['arm']} | {row['seeds']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: tuple[float, float | None] | None, digits: int) -> str:
    if value is None:
        return "-"
    center, half = value
    return f"{center:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

_Out = Annotated[Path, typer.Option(help="Folder of all runs: OUT/<arm>-seed<n>, table.md.")]
_Recipe = Annotated[str, typer.Option(help="Folder under recipes/ with recipe.yaml and arms.yaml.")]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    out: _Out,
    recipe: _Recipe = "ablation",
    seeds: Annotated[str, typer.Option(help="Seeds, separated by spaces.")] = "0 1 2",
    arms: Annotated[str, typer.Option(help="Arms of arms.yaml, separated by spaces; all if empty.")] = "",
    model: Annotated[str | None, typer.Option(help="Model that every arm starts from.")] = None,
) -> None:
    """Train every arm with every seed, seed by seed; what is finished stays, what was stopped goes on."""
    from rich.console import Console

    from verl_coder.platform.environment import select_cpu_platform

    if os.environ.get("PROFILE") == "cpu" or shutil.which("nvidia-smi") is None:
        select_cpu_platform()
    from verl_coder.launch.launch import start
    from verl_coder.launch.plan import TrainRequest, make_plan

    try:
        numbers = [int(seed) for seed in seeds.split()]
    except ValueError:
        raise ConfigError(f"--seeds {seeds!r}: give whole numbers, separated by spaces") from None
    console = Console()
    chosen = choose_arms(read_arms(find_recipe(recipe)), arms.split())
    for seed in numbers:
        for arm, overrides in chosen.items():
            console.rule(f"{arm}, seed {seed}")
            request = TrainRequest(
                recipe=recipe,
                model=model,
                out=str(run_folder(out, arm, seed)),
                seed=seed,
                overrides=(*overrides, *context.args),
            )
            plan = make_plan(request)
            status = start(plan, console)
            # Status 0 without a summary: SIGTERM, which is no failure.
            if status or not plan.run_dir.summary.is_file():
                raise typer.Exit(status)
    table(out, recipe)


@app.command()
def table(out: _Out, recipe: _Recipe = "ablation") -> None:
    """Print the table of the finished runs, and write it to OUT/table.md."""

    results = collect(out, list(read_arms(find_recipe(recipe))))
    if not results:
        raise VerlCoderError(f"{out} holds no finished run of an arm")
    text = markdown_table(table_rows(results))
    write_atomically(out / "table.md", text)
    typer.echo(text)

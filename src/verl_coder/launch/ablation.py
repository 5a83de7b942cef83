"""Several arms of one recipe, each with several seeds; one table and one picture of what came out."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from verl_coder.command_app import command_app
from verl_coder.consoles import table_console
from verl_coder.errors import ConfigError, VerlCoderError
from verl_coder.files import is_there, refuse_file_in_the_way, write_atomically
from verl_coder.launch.arms import (
    choose_arms,
    collect,
    markdown_table,
    notes,
    paired_table,
    paired_with,
    read_arms,
    run_folder,
    table_rows,
    tag_table,
)
from verl_coder.launch.recipe import find_recipe
from verl_coder.paths import is_hub_name

app = command_app(no_args_is_help=True, help=__doc__)

_Out = Annotated[Path, typer.Option(help="Folder of all runs: OUT/<arm>-seed<n>, table.md, curves.png.")]
_Against = Annotated[
    str, typer.Option(help="Arm that the others are compared with; the first of arms.yaml if empty.")
]
_MadeBy = Annotated[
    str,
    typer.Option(help="Command of verl-coder that makes --model where it is missing: tiny weaken --out ..."),
]
_Recipe = Annotated[str, typer.Option(help="Folder under recipes/ with recipe.yaml and arms.yaml.")]


@app.command(context_settings={"allow_extra_args": True})
def run(
    context: typer.Context,
    out: _Out,
    recipe: _Recipe = "ablation",
    seeds: Annotated[str, typer.Option(help="Seeds, separated by spaces.")] = "0 1 2",
    arms: Annotated[str, typer.Option(help="Arms of arms.yaml, separated by spaces; all if empty.")] = "",
    model: Annotated[str | None, typer.Option(help="Model that every arm starts from.")] = None,
    model_made_by: _MadeBy = "",
    against: _Against = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every arm and print its plan.")] = False,
) -> None:
    """Train every arm with every seed, seed by seed; what is finished stays, what was stopped goes on."""
    from verl_coder.platform.launching import begin

    begin()
    from verl_coder.launch.launch import start
    from verl_coder.launch.plan import TrainRequest, make_plan

    numbers = _numbers(seeds)
    console = table_console()
    every = read_arms(find_recipe(recipe))
    chosen = choose_arms(every, arms.split())
    choose_arms(every, against.split())
    refuse_file_in_the_way(out, "--out")
    requests = [
        TrainRequest(
            recipe=recipe,
            model=model,
            out=str(run_folder(out, arm, seed)),
            seed=seed,
            overrides=(*overrides, *context.args),
        )
        for seed in (numbers[:1] if dry_run else numbers)
        for arm, overrides in chosen.items()
    ]
    for request in requests[: len(chosen)]:
        make_plan(request)  # the last arm's mistake is said before the first one trains
    if model and model_made_by and not is_there(Path(model)):
        _make_model(model, model_made_by, dry_run=dry_run)
    for request in requests:
        console.rule(Path(str(request.out)).name)
        plan = make_plan(request)
        _check_base(str(plan.config.actor_rollout_ref.model.path), recipe)
        status = start(plan, console, dry_run=dry_run)
        # Status 0 without a summary: SIGTERM, which is no failure.
        if not dry_run and (status or not plan.run_dir.summary.is_file()):
            raise typer.Exit(status)
    if not dry_run:
        table(out, recipe, against)


def _numbers(seeds: str) -> list[int]:
    """The seeds of all runs; ConfigError now for one that a run would refuse when it is its turn."""
    try:
        numbers = [int(seed) for seed in seeds.split()]
    except ValueError:
        raise ConfigError(f"--seeds {seeds!r}: give whole numbers, separated by spaces") from None
    if not numbers or len(set(numbers)) < len(numbers):
        raise ConfigError(f"--seeds {seeds!r}: give each seed once, and one at least")
    from verl_coder.launch.plan import check_seed

    return [check_seed(number, f"--seeds {number}") for number in numbers]


def _check_base(model: str, recipe: str) -> None:
    """ConfigError where the base of all arms is a folder that is not there: a recipe's own is made first."""
    if not is_there(Path(model)) and not is_hub_name(model):
        raise ConfigError(
            f"recipe {recipe}: its base {model} is not there: run_scripts/run_ablation.sh makes that of "
            "ablation and of tool_comparison; else name one with --model"
        )


def _make_model(model: str, command: str, *, dry_run: bool) -> None:
    """Run the command; ConfigError in a dry run, which makes nothing. Its failure is this command's."""
    if dry_run:
        raise ConfigError(
            f"--model {model} is not there yet; to check the arms make it: verl-coder {command}"
        )
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"--model-made-by {command}: no command line ({error})") from error
    status = subprocess.run([sys.executable, "-m", "verl_coder.cli", *words]).returncode
    if status:
        raise typer.Exit(status)


@app.command()
def table(out: _Out, recipe: _Recipe = "ablation", against: _Against = "") -> None:
    """Print the tables of the finished runs and what they leave out, also to OUT/table.md, and draw OUT/curves.png."""
    from verl_coder.launch.arm_curves import draw_arms, read_curves

    every = read_arms(find_recipe(recipe))
    choose_arms(every, against.split())
    results = collect(out, list(every), find_recipe(recipe).name)
    reference = against or next(iter(every))
    if not results:
        raise VerlCoderError(f"{out} holds no finished run of an arm")
    tables = [
        markdown_table(table_rows(results)),
        paired_table(paired_with(out, results, reference)),
        tag_table(out, results),
        "".join(f"- {note}\n" for note in notes(out, results, reference)),
    ]
    text = "\n".join(part for part in tables if part)
    write_atomically(out / "table.md", text)
    draw_arms(read_curves(out, results), out / "curves.png")
    typer.echo(text)
    typer.echo(f"picture: {out / 'curves.png'}")

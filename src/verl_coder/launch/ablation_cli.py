"""`verl-coder ablation`: the arms of a recipe over several seeds, and the table that compares them."""

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help=__doc__)

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

    from verl_coder.errors import ConfigError
    from verl_coder.platform.environment import select_cpu_platform

    if os.environ.get("PROFILE") == "cpu" or shutil.which("nvidia-smi") is None:
        select_cpu_platform()
    from verl_coder.launch.ablation import choose_arms, read_arms, run_folder
    from verl_coder.launch.launch import start
    from verl_coder.launch.plan import TrainRequest, make_plan
    from verl_coder.launch.recipe import find_recipe

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
    from verl_coder.errors import VerlCoderError
    from verl_coder.files import write_atomically
    from verl_coder.launch.ablation import collect, markdown_table, read_arms, table_rows
    from verl_coder.launch.recipe import find_recipe

    results = collect(out, list(read_arms(find_recipe(recipe))))
    if not results:
        raise VerlCoderError(f"{out} holds no finished run of an arm")
    text = markdown_table(table_rows(results))
    write_atomically(out / "table.md", text)
    typer.echo(text)

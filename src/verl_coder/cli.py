"""Train language models to program with a Python interpreter in the loop."""

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

from verl_coder.consoles import PlainConsole
from verl_coder.interrupts import ended_by_ctrl_c

with ended_by_ctrl_c():
    import typer
    from typer.core import TyperCommand
    from typer.main import get_command

    from verl_coder.command_app import CommandGroup, command_app
    from verl_coder.errors import VerlCoderError
    from verl_coder.many_modules import collector_paused, leave
    from verl_coder.paths import recipe_names

PARTS = {
    "doctor": ("verl_coder.doctor.cli", "Check that everything a run needs is here, with the fix."),
    "recipes": ("verl_coder.launch.recipe_list", "The recipes: aim, model, data, profile."),
    "pipeline": (
        "verl_coder.pipeline.cli",
        "All stages from one YAML: data, teacher, sft, train, evaluate, report.",
    ),
    "data": ("verl_coder.data.cli", "Datasets as Parquet: prepare, mix, verify, inspect."),
    "sft": ("verl_coder.sft.cli", "Fine-tune a model on traces, before reinforcement learning."),
    "grade": ("verl_coder.grading.cli", "Grade one completion against the hidden tests of one row."),
    "sandbox": ("verl_coder.sandbox.cli", "Serve the sandbox that runs model-written code."),
    "teacher": (
        "verl_coder.teacher.cli",
        "Traces to learn from: a teacher's, or repairs of own samples.",
    ),
    "evaluate": ("verl_coder.evaluation.cli", "pass@k of any model on any problems, with or without tools."),
    "compare": (
        "verl_coder.evaluation.compare",
        "Whether evaluations differ by more than noise, problem by problem.",
    ),
    "export": ("verl_coder.launch.export", "Write a trained policy, or its LoRA adapter alone."),
    "ablation": ("verl_coder.launch.ablation", "Train the arms of a recipe over seeds, and compare them."),
    "report": (
        "verl_coder.report.cli",
        "Pages about runs and evaluations: curves, tables, every trajectory.",
    ),
    "wandb": ("verl_coder.launch.wandb_push", "Send to W&B what it lacks of a run."),
    "upgrade": (
        "verl_coder.upgrade.cli",
        "What we touch of verl, vLLM and Ray, and what another version of them breaks.",
    ),
    "tiny": ("verl_coder.tiny.cli", "Build, measure and weaken the tiny model."),
}
"""Name -> the module whose `app` it is, imported when it is called, and its line in `--help`."""


class _Parts(CommandGroup):
    """All commands in one list; of the parts only the one that is called is imported."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands.update({name: TyperCommand(name, help=line) for name, (_, line) in PARTS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in PARTS:
            with ended_by_ctrl_c():
                command = get_command(importlib.import_module(PARTS[name][0]).app)
        return name, command, rest


app = command_app(cls=_Parts, add_completion=True, no_args_is_help=True, help=__doc__)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"verl-coder {version('verl-coder')}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of `verl-coder` itself."""


@app.command(context_settings={"allow_extra_args": True}, options_metavar="[OPTIONS] [KEY=VALUE]...")
def train(
    context: typer.Context,
    recipe: Annotated[
        str, typer.Option(help="Folder under recipes/, or a path to one.", autocompletion=recipe_names)
    ],
    model: Annotated[str | None, typer.Option(help="Folder or hub name; default: the recipe's.")] = None,
    train: Annotated[str | None, typer.Option(help="Parquet files to train on, comma-separated.")] = None,
    val: Annotated[str | None, typer.Option(help="Parquet files held out, comma-separated.")] = None,
    reward: Annotated[str | None, typer.Option(help="File with compute_score.")] = None,
    loss: Annotated[str | None, typer.Option(help="File with token_loss.")] = None,
    tools: Annotated[str | None, typer.Option(help="YAML of the tools.")] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder of the run. Default: outputs/RECIPE-seedN, of the run's seed.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of data order and sampling. Default: the recipe's, 0.")
    ] = None,
    new_wandb_run: Annotated[
        bool, typer.Option("--new-wandb-run", help="Resume into a new W&B run, linked to the old one.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and print the plan.")] = False,
) -> None:
    """Train by a recipe; further arguments are Hydra overrides (key=value, +key=value)."""
    with ended_by_ctrl_c(), collector_paused():
        from verl_coder.platform.launching import begin

        begin()
        from verl_coder.launch.launch import start
        from verl_coder.launch.plan import TrainRequest, make_plan

    request = TrainRequest(
        recipe=recipe,
        model=model,
        train=train,
        val=val,
        reward=reward,
        loss=loss,
        tools=tools,
        out=out,
        seed=seed,
        new_wandb_run=new_wandb_run,
        overrides=tuple(context.args),
    )
    with ended_by_ctrl_c():
        with collector_paused():  # verl is imported there
            plan = make_plan(request, files_first=True)
        status = start(plan, PlainConsole(), dry_run=dry_run)
    raise typer.Exit(status)


@app.command()
def status(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")]) -> None:
    """Show what a run is doing, its last checkpoint, and what W&B has of it."""
    from verl_coder.launch.status import run_status

    for name, value in run_status(run).items():
        print(f"{name:>16}  {value}")


def main() -> None:
    """Entry point: an error becomes one line on stderr. Its exit status is 2 for a wrong command line, else 1."""
    status = _status_of_command()
    if "--dry-run" in sys.argv[1:]:  # it has started nothing, so that nothing is left to be ended in order
        leave(status)
    sys.exit(status)


def _status_of_command() -> int:
    try:
        status = app(standalone_mode=False, prog_name="verl-coder")
    except VerlCoderError as error:
        from verl_coder.command_line_errors import name_variables

        words = name_variables(str(error), sys.argv[1:])
        print("error:", *words.splitlines(), file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        from verl_coder.installation import missing_package

        if not (words := missing_package(error)):
            raise
        print(f"error: {words}", file=sys.stderr)
        return 1
    except Exception as error:
        if type(error).__name__ == "Abort":  # the parser's; Ctrl-C is an exit status, 130
            print("error: the input ended before a question was answered", file=sys.stderr)
            return 1
        if not hasattr(error, "format_message"):
            raise
        from verl_coder.command_line_errors import explain, help_instead

        print(help_instead(error) or f"error: {explain(error, sys.argv[1:])}", file=sys.stderr)
        return int(getattr(error, "exit_code", 1))
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    main()

"""`verl-coder tiny`: builds and measures the tiny base model."""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.command_app import command_app
from verl_coder.launch.supervise import Interrupted
from verl_coder.tiny.build import BuildSettings
from verl_coder.words import counted

app = command_app(no_args_is_help=True, help="The tiny base model: build it, measure it, weaken it.")
_DEFAULTS = BuildSettings()


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="Folder for the model; must not exist or be empty.")],
    seed: Annotated[
        int, typer.Option(help="Seed of problems, traces, weights and data order.")
    ] = _DEFAULTS.seed,
    steps: Annotated[
        int, typer.Option(help="SFT steps in all: 75% tool-only traces, then the mix.")
    ] = _DEFAULTS.steps,
    batch_size: Annotated[int, typer.Option(help="Traces a step.")] = _DEFAULTS.batch_size,
    direct_share: Annotated[
        float,
        typer.Option(
            help="Share of the mix that answers at once; the more, the less the base uses the tool."
        ),
    ] = _DEFAULTS.direct_share,
    measured_problems: Annotated[
        int, typer.Option(help="Held-out problems of the card.")
    ] = _DEFAULTS.measured_problems,
) -> None:
    """Make a tokenizer, train the tiny model on teacher-style traces with verl's SFT trainer, measure it."""
    import verl_coder.tiny.build as builder

    settings = BuildSettings(
        seed=seed,
        steps=steps,
        batch_size=batch_size,
        direct_share=direct_share,
        measured_problems=measured_problems,
    )
    try:
        folder = builder.build(out, settings)
    except Interrupted as signal_name:
        typer.echo(f"stopped by {signal_name}; nothing was written", err=True)
        raise typer.Exit(130) from None
    typer.echo((folder / "card.json").read_text())


@app.command("measure")
def measure_command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder of a model made by `build`, or trained from one.")
    ],
    problems: Annotated[int, typer.Option(help="Held-out problems.")] = _DEFAULTS.measured_problems,
    seed: Annotated[int, typer.Option(help="Seed of the problems.")] = _DEFAULTS.seed,
) -> None:
    """Print pass@1 and tool use on held-out problems, greedy and sampled, as JSON."""
    import json

    from verl_coder.errors import ConfigError
    from verl_coder.tiny.environment import Environment
    from verl_coder.tiny.measure import measure

    if not (model / "config.json").is_file():
        raise ConfigError(f"{model} holds no model (config.json is missing)")
    with Environment.embedded() as environment:
        typer.echo(json.dumps(measure(model, environment, problem_count=problems, seed=seed), indent=2))


@app.command()
def weaken(
    out: Annotated[Path, typer.Option(help="Folder for the model; must not exist or be empty.")],
    seed: Annotated[int, typer.Option(help="Seed of problems, traces and data order.")] = 1,
    steps: Annotated[int, typer.Option(help="SFT steps on traces that answer at once.")] = 60,
    direct_share: Annotated[float, typer.Option(help="Share of traces that call no tool.")] = 1.0,
) -> None:
    """Make a base that has lost the tool, from the shipped one (verl's SFT trainer, a minute)."""
    from verl_coder.tiny.weaken import WeakenSettings
    from verl_coder.tiny.weaken import weaken as make

    try:
        folder = make(out, WeakenSettings(seed=seed, steps=steps, direct_share=direct_share))
    except Interrupted as signal_name:
        typer.echo(f"stopped by {signal_name}; nothing was written", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{folder}: `verl-coder tiny measure {folder}` says what it can do")


@app.command()
def tools(
    out: Annotated[Path, typer.Option(help="Folder of the run; the model is in OUT/mixed/model.")],
    seed: Annotated[int, typer.Option(help="Seed of problems, traces and data order.")] = 0,
    steps: Annotated[int, typer.Option(help="SFT steps of 64 traces in all.")] = 750,
    direct_share: Annotated[float, typer.Option(help="Share of the last traces that call no tool.")] = 0.5,
) -> None:
    """Make a base that knows the calls of every tool, from the shipped one and traces of chains of functions."""

    from verl_coder.platform.environment import select_cpu_platform

    select_cpu_platform()
    from verl_coder.tiny.tool_base import ToolBaseSettings, build_tool_base

    settings = ToolBaseSettings(seed=seed, steps=steps, direct_share=direct_share)
    try:
        build_tool_base(out, settings)
    except Interrupted as signal_name:
        typer.echo(f"stopped by {signal_name}; the same command starts again", err=True)
        raise typer.Exit(130) from None


@app.command()
def traces(
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    problems: Annotated[
        int, typer.Option(min=1, help="Training problems, one trace each (at most 1240).")
    ] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the problems and the traces.")] = 0,
    direct_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of traces that answer without the tool.")
    ] = 0.0,
) -> None:
    """Write a teacher's traces of the tiny training problems: problem_id and messages."""
    from verl_coder.tiny.problems import problems as draw
    from verl_coder.tiny.trace_file import write_sample_traces

    count = write_sample_traces(draw("rl", problems, seed=seed), out, seed=seed, direct_share=direct_share)
    typer.echo(f"{out}: {counted(count, 'trace')}")

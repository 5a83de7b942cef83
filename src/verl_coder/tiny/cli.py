"""`verl-coder tiny`: builds and measures the tiny base model."""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.tiny.build import BuildSettings
from verl_coder.trainer.supervise import Interrupted

app = typer.Typer(no_args_is_help=True, help=__doc__)
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
    model: Annotated[Path, typer.Argument(help="Folder of a model made by `build`, or trained from one.")],
    problems: Annotated[int, typer.Option(help="Held-out problems.")] = _DEFAULTS.measured_problems,
    seed: Annotated[int, typer.Option(help="Seed of the problems.")] = _DEFAULTS.seed,
) -> None:
    """Print pass@1 and tool use on held-out problems, greedy and sampled, as JSON."""
    import json

    from verl_coder.errors import ConfigError
    from verl_coder.tiny.judge import SandboxJudge
    from verl_coder.tiny.measure import measure

    if not (model / "config.json").is_file():
        raise ConfigError(f"{model} holds no model (config.json is missing)")
    with SandboxJudge.embedded() as judge:
        typer.echo(json.dumps(measure(model, judge, problem_count=problems, seed=seed), indent=2))

"""`verl-coder doctor`: everything that a run needs, tried before one is started."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from verl_coder.command_app import command_app
from verl_coder.doctor.components import COMPONENTS
from verl_coder.errors import ConfigError
from verl_coder.paths import recipe_names

if TYPE_CHECKING:
    from verl_coder.doctor.situation import DoctorOptions

app = command_app()
_COMPONENT = typer.Option(
    help=f"Only this part ({', '.join(COMPONENTS)}), or this check by its name; may be given several times."
)


def knob(name: str, given: str | None) -> str | None:
    """What was given, else the variable NAME, as the scripts and compose have it; None where that is empty, too."""
    return given or os.environ.get(name.upper()) or None


def seed_of(given: int | None) -> int | None:
    """--seed, else SEED; ConfigError where that is no number."""
    if given is not None or (text := knob("seed", None)) is None:
        return given
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"SEED={text}: use a whole number") from error


@app.command()
def doctor(
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Folder under recipes/; default: RECIPE, else qwen_grpo with a GPU and tiny_cpu without.",
            autocompletion=recipe_names,
        ),
    ] = None,
    component: Annotated[list[str] | None, _COMPONENT] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Folder of the model, loaded for one answer; default: MODEL, not loaded."),
    ] = None,
    train: Annotated[
        list[str] | None, typer.Option(help="Parquet file to train on; several times. Default: TRAIN.")
    ] = None,
    val: Annotated[
        list[str] | None, typer.Option(help="Parquet file held out; several times. Default: VAL.")
    ] = None,
    reward: Annotated[str | None, typer.Option(help="File with compute_score; default: REWARD.")] = None,
    loss: Annotated[str | None, typer.Option(help="File with token_loss; default: LOSS.")] = None,
    tools: Annotated[str | None, typer.Option(help="YAML of the tools; default: TOOLS.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the run; default: OUT.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, by which OUT is named; default: SEED.")] = None,
    teacher_url: Annotated[
        str | None, typer.Option(help="Teacher's server, .../v1; default: TEACHER_URL.")
    ] = None,
    teacher_model: Annotated[str | None, typer.Option(help="Its model; default: the first it names.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object in place of lines.")] = False,
    override: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Hydra overrides, as of `train`.")
    ] = None,
) -> None:
    """Check that everything a run needs is here: PASS, WARN, FAIL or SKIP, and what to do. Exit status 1 on a FAIL."""
    given = {"train": ",".join(train or ()), "val": ",".join(val or ())}
    given |= {"recipe": recipe or "", "reward": reward or "", "loss": loss or ""}
    given |= {"tools": tools or "", "out": out or ""}
    options = _options(
        given,
        model=model,
        seed=seed,
        teacher_url=teacher_url,
        teacher_model=teacher_model,
        components=tuple(component or ()),
        overrides=tuple(override or ()),
    )
    from verl_coder.doctor.terminal import report

    raise typer.Exit(report(options, as_json=as_json))


def _options(given: dict[str, str], *, model: str | None, seed: int | None, **others: Any) -> "DoctorOptions":
    """The options with what the environment adds to them; the platform of verl is chosen here, too."""
    from verl_coder.doctor.situation import DoctorOptions, has_gpu
    from verl_coder.platform.environment import select_cpu_platform

    if not has_gpu():
        select_cpu_platform()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("VERL_LOGGING_LEVEL", "WARNING")
    named = knob("model", model)
    others |= {name: knob(name, value) for name, value in given.items()}
    return DoctorOptions(
        model=str(Path(named).expanduser()) if named else None,
        loads_model=bool(model),
        seed=seed_of(seed),
        **others,
    )

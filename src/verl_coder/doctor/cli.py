"""`verl-coder doctor`: everything that a run needs, tried before one is started."""

import os
from pathlib import Path
from typing import Annotated

import typer

from verl_coder.paths import recipe_names

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Folder under recipes/; default: qwen_grpo with a GPU, else tiny_cpu.",
            autocompletion=recipe_names,
        ),
    ] = None,
    component: Annotated[
        list[str] | None,
        typer.Option(help="Look at this part only, or at this check; may be given several times."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Folder of the model, loaded for one answer.")] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(help="Parquet file to look at in place of the recipe's; several times."),
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the run (OUT=).")] = None,
    teacher_url: Annotated[
        str | None, typer.Option(help="Teacher's server, .../v1; default: TEACHER_URL.")
    ] = None,
    teacher_model: Annotated[str | None, typer.Option(help="Its model; default: the first it names.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object in place of lines.")] = False,
    override: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, as of `train`.")] = None,
) -> None:
    """Check that everything a run needs is here: PASS, WARN, FAIL or SKIP, and what to do. Exit status 1 on a FAIL."""
    from verl_coder.doctor.situation import DoctorOptions, has_gpu
    from verl_coder.doctor.terminal import report
    from verl_coder.platform.environment import select_cpu_platform

    if not has_gpu():
        select_cpu_platform()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("VERL_LOGGING_LEVEL", "WARNING")
    options = DoctorOptions(
        recipe=recipe,
        model=str(Path(model).expanduser()) if model else None,
        train=",".join(train) if train else None,
        out=out,
        teacher_url=teacher_url,
        teacher_model=teacher_model,
        components=tuple(component or ()),
        overrides=tuple(override or ()),
    )
    raise typer.Exit(report(options, as_json=as_json))

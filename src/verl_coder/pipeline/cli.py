"""`verl-coder pipeline`: data, teacher, SFT, training, evaluation and report from one YAML."""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.command_app import command_app
from verl_coder.consoles import PlainConsole
from verl_coder.errors import ConfigError
from verl_coder.files import refuse_file_in_the_way
from verl_coder.words import did_you_mean

app = command_app()


@app.command()
def pipeline(
    config: Annotated[Path, typer.Option(help="YAML of the pipeline; examples: config/pipeline/.")],
    stages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STAGE",
            help="all (default), or some of: data, teacher, sft, train, evaluate, report.",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder of all that is written; default: the YAML's.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, what would be skipped, and why.")
    ] = False,
    ignore_code: Annotated[
        bool, typer.Option("--ignore-code", help="Take what older code of this package made as it is.")
    ] = False,
) -> None:
    """Run the stages of one YAML; what has not changed is skipped, and what was stopped goes on."""

    from verl_coder.pipeline.config import read_config
    from verl_coder.pipeline.run import PipelineRun
    from verl_coder.pipeline.tasks import Workplace

    whole = read_config(config, out=out)
    place = Workplace(whole)
    refuse_file_in_the_way(place.out, "--out" if out else f"{config}: out")
    run = PipelineRun(
        place, choose_stages(stages or [], whole.stages), PlainConsole(), ignore_code=ignore_code
    )
    if dry_run:
        run.dry_run()
        return
    raise typer.Exit(run.run())


def choose_stages(asked: list[str], there: tuple[str, ...]) -> list[str]:
    """The stages in their order; ConfigError for one that the pipeline does not have."""
    for name in asked:
        if name != "all" and name not in there:
            has = f"it has {', '.join(there)} (or all)"
            raise ConfigError(
                f"no stage {name!r} in this pipeline; {did_you_mean(name, (*there, 'all'), has)}"
            )
    return [name for name in there if not asked or "all" in asked or name in asked]

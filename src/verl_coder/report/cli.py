"""`verl-coder report`: pages about runs and evaluations."""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.command_app import command_app
from verl_coder.consoles import PlainConsole, plain_text

app = command_app(no_args_is_help=True)


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER", help="Folders of runs or evaluations, or folders that hold such folders."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the pages; default: report/ in the run or evaluation where it is only one, else ./report."
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve the pages on this machine alone, and keep them up to date.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="Port of --watch on 127.0.0.1; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    every: Annotated[float, typer.Option(help="Seconds between two looks at the folders.", min=0.2)] = 2.0,
) -> None:
    """Write static pages that open from disk: curves, settings, tables, every trajectory."""

    from verl_coder.report.build import Report, write_report
    from verl_coder.report.inputs import find_inputs
    from verl_coder.words import counted

    console = PlainConsole(stderr=True)
    inputs = find_inputs(runs)
    target = (
        (out or (inputs[0].path / "report" if len(inputs) == 1 else Path("report"))).expanduser().resolve()
    )
    if watch:
        from verl_coder.report.watch import serve

        serve(Report(inputs), target, port=port, every_s=every, say=lambda text: print(text, flush=True))
        return
    with console.status("reading") as status:
        report = Report(inputs, say=lambda text: status.update(plain_text(text)))
        page = write_report(report, target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    shown = counted(report.trajectories, "trajectory", "trajectories")
    print(f"{shown} of {counted(len(inputs), 'folder')}, {size / 1e6:.1f} MB\n{page.as_uri()}")

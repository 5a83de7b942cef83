"""`verl-coder teacher repairs`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Traces to learn from: conversations that solve a problem.",
)


@app.callback()
def teacher() -> None:
    """Traces to learn from: conversations that solve a problem."""


@app.command()
def repairs(
    problems: Annotated[Path, typer.Option(help="Parquet file made with --protocol tool.")],
    out: Annotated[Path, typer.Option(help="Parquet file of the traces.")],
    samples: Annotated[
        list[Path] | None,
        typer.Option(help="JSON lines with problem_id and output, answers without the tool; repeatable."),
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option(help="YAML of the interpreter. Default: tool_config/python_interpreter.yaml"),
    ] = None,
    per_problem: Annotated[int, typer.Option(min=1, help="Most traces of one problem.")] = 4,
    max_attempts: Annotated[int, typer.Option(min=1, help="Most calls of the tool in a trace.")] = 3,
    failing_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of traces whose first attempt fails, where samples allow."),
    ] = 0.5,
    direct_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of traces that answer without the tool.")
    ] = 0.0,
    learn_failures: Annotated[bool, typer.Option("--learn-failures", help="Learn failing attempts.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the choice of attempts and of the words.")] = 0,
    sandbox_url: Annotated[
        str | None, typer.Option(help="Sandboxes, comma-separated. Default: SANDBOX_URL, else start one.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=0, help="Programs at a time in a sandbox; 0 is twice the cores.")
    ] = 0,
) -> None:
    """Make tool traces from a model's own samples: its failures, their real errors, what passes at last."""
    from verl_coder.paths import repository_root
    from verl_coder.teacher.repairs import RepairOptions
    from verl_coder.teacher.terminal import show_repairs

    show_repairs(
        RepairOptions(
            problems=problems,
            out=out,
            tools=tools or repository_root() / "tool_config" / "python_interpreter.yaml",
            samples=tuple(samples or ()),
            per_problem=per_problem,
            max_attempts=max_attempts,
            failing_share=failing_share,
            direct_share=direct_share,
            learn_failures=learn_failures,
            seed=seed,
            sandbox_url=sandbox_url,
            concurrency=concurrency,
        )
    )

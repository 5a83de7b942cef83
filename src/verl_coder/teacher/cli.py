"""`verl-coder teacher`: generate, repairs, join, show."""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.chat_template import HELP as CHAT_TEMPLATE_HELP
from verl_coder.command_app import command_app
from verl_coder.teacher import generate_cli

app = command_app(
    no_args_is_help=True,
    help="Traces to learn from: conversations that solve a problem.",
)


@app.callback()
def teacher() -> None:
    """Traces to learn from: conversations that solve a problem."""


app.command()(generate_cli.generate)


@app.command()
def show(
    traces: Annotated[
        Path, typer.Argument(metavar="TRACES", help="Parquet file of problem_id and messages.")
    ],
    model: Annotated[str, typer.Option(help="Folder or hub name of the student.")],
    tools: Annotated[
        str | None, typer.Option(help="YAML of the RL run's tools, which its prompt describes; or none.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="Number of the first trace to show.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="How many traces.")] = 1,
    problem: Annotated[str | None, typer.Option(help="Only traces of this problem_id.")] = None,
    max_prompt_length: Annotated[int, typer.Option(help="Longer prompts are left out, in tokens.")] = 1024,
    max_response_length: Annotated[int, typer.Option(help="Longer responses are left out.")] = 2048,
    chat_template_kwargs: Annotated[str | None, typer.Option(help=CHAT_TEMPLATE_HELP)] = None,
) -> None:
    """Show the tokens of traces as the student will be given them, and colour what is learnt."""
    from verl_coder.teacher.show import ShowOptions, show_traces

    show_traces(
        ShowOptions(
            traces=traces,
            model=model,
            tools=tools,
            first=first,
            count=count,
            problem=problem,
            max_prompt_length=max_prompt_length,
            max_response_length=max_response_length,
            chat_template_kwargs=chat_template_kwargs,
        )
    )


@app.command()
def join(
    traces: Annotated[list[Path], typer.Argument(metavar="TRACES...", help="Parquet files of traces.")],
    out: Annotated[Path, typer.Option(help="Parquet file of all of them.")],
) -> None:
    """Join files of traces, for instance of the same problems in two forms; each trace once."""
    from verl_coder.teacher.join import show_join

    show_join(traces, out)


_FailingShare = Annotated[
    float, typer.Option(min=0, max=1, help="Share of traces whose first attempt fails, where samples allow.")
]
_DirectShare = Annotated[
    float, typer.Option(min=0, max=1, help="Share of traces that do not call the tool on offer.")
]
_Rows = Annotated[
    Path,
    typer.Option(help="Parquet file of rows of tool, session, debugger, debugger_late, program or feedback."),
]
_OwnFirstTries = Annotated[
    bool, typer.Option("--own-first-tries", help="References mend failing attempts only.")
]
_OwnMends = Annotated[
    bool,
    typer.Option("--own-mends", help="No references: any passing sample of the model mends a failing one."),
]
_Concurrency = Annotated[
    int, typer.Option(min=0, help="Programs at a time in a sandbox; 0 is twice the cores.")
]
_PlainShare = Annotated[
    float, typer.Option(min=0, max=1, help="Share of traces whose prompt offers no tool.")
]


@app.command()
def repairs(
    problems: _Rows,
    out: Annotated[Path, typer.Option(help="Parquet file of the traces.")],
    samples: Annotated[
        list[Path] | None,
        typer.Option(
            help="samples.parquet of an evaluation without tool, or JSON lines (problem_id, output)."
        ),
    ] = None,
    tools: Annotated[
        Path | None, typer.Option(help="YAML; default: the shipped one that the rows need.")
    ] = None,
    per_problem: Annotated[int, typer.Option(min=1, help="Most traces of one problem.")] = 4,
    max_attempts: Annotated[int, typer.Option(min=1, help="Most attempts in a trace.")] = 3,
    failing_share: _FailingShare = 0.5,
    direct_share: _DirectShare = 0.0,
    plain_share: _PlainShare = 0.0,
    own_first_tries: _OwnFirstTries = False,
    own_mends: _OwnMends = False,
    learn_failures: Annotated[bool, typer.Option("--learn-failures", help="Learn failing attempts.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the choice of attempts and of the words.")] = 0,
    sandbox_url: Annotated[
        str | None, typer.Option(help="Sandboxes, comma-separated. Default: SANDBOX_URL, else start one.")
    ] = None,
    concurrency: _Concurrency = 0,
) -> None:
    """Make tool traces from a model's own samples: its failures, their real errors, what passes at last."""
    from verl_coder.teacher.repair_report import RepairOptions
    from verl_coder.teacher.terminal import show_repairs

    show_repairs(
        RepairOptions(
            problems=problems,
            out=out,
            tools=tools,
            samples=tuple(samples or ()),
            per_problem=per_problem,
            max_attempts=max_attempts,
            failing_share=failing_share,
            direct_share=direct_share,
            plain_share=plain_share,
            own_first_tries=own_first_tries,
            own_mends=own_mends,
            learn_failures=learn_failures,
            seed=seed,
            sandbox_url=sandbox_url,
            concurrency=concurrency,
        )
    )

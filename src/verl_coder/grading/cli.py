"""`verl-coder grade`: the verdict on one completion, for anyone who writes a reward or doubts a verdict."""

import json
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from verl_coder import json_text
from verl_coder.command_app import command_app
from verl_coder.errors import ConfigError, DataError, SandboxUnavailableError
from verl_coder.words import did_you_mean

app = command_app(help=__doc__)


@app.command()
def grade(
    problem: Annotated[
        Path,
        typer.Option(help="A row: FILE.parquet:NUMBER, FILE.parquet:PROBLEM_ID, or a file of it as JSON."),
    ],
    completion: Annotated[
        Path,
        typer.Option(help="Text of the completion (prose and code, or code alone); - reads standard input."),
    ],
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Words on stderr: which test failed. On a terminal, in place of the JSON."
        ),
    ] = False,
    url: Annotated[
        str, typer.Option(envvar="SANDBOX_URL", help="Sandbox; without one, one is started.")
    ] = "",
) -> None:
    """Grade a completion; the report goes to stdout as JSON. Exit status 1 only where there is no verdict."""
    import asyncio

    from verl_coder.grading import answer_code
    from verl_coder.problems import parse_test_suite
    from verl_coder.sandbox.embedded import EmbeddedSandbox

    row = _row(problem)
    suite = parse_test_suite(row["reward_model"]["ground_truth"])
    code = answer_code(_read(completion), suite) or ""  # as rewards.grade_answer does
    sandbox: AbstractContextManager[Any] = nullcontext() if url else EmbeddedSandbox()
    with sandbox as embedded:
        report = asyncio.run(_grade(code, suite, url or embedded.url))
    if report.outcome == "sandbox_unavailable":
        raise SandboxUnavailableError(f"no verdict: {report.message}")
    if not (explain and sys.stdout.isatty() and sys.stderr.isatty()):  # the verdict once, not in both forms
        print(json.dumps(report.to_dict(), ensure_ascii=False, indent=1))
    if explain:
        typer.echo(report.explain(), err=True)


async def _grade(code: str, suite: Any, url: str) -> Any:
    from verl_coder.grading import grade as grade_code
    from verl_coder.sandbox import SandboxClient

    async with SandboxClient(url) as client:
        return await grade_code(code, suite, client)


def _row(path: Path) -> Any:
    in_file = re.fullmatch(r"(.+?\.parquet)(?::(.*))?", str(path), re.S)
    try:
        row = _parquet_row(Path(in_file[1]), in_file[2] or "") if in_file else json_text.loads(_read(path))
        row["reward_model"]["ground_truth"]
        return row
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not a row: it lacks reward_model.ground_truth") from error


def _parquet_row(path: Path, wanted: str) -> Any:
    """The row by its number, or by its problem_id; DataError says which there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}") from error
    rows = table.select(["extra_info"]).to_pylist() if "extra_info" in table.column_names else []
    names = [str((row["extra_info"] or {}).get("problem_id")) for row in rows]
    places = {int(wanted)} if wanted.isdecimal() and int(wanted) < table.num_rows else set()
    if wanted in names:
        places.add(names.index(wanted))
    if len(places) == 1:
        return table.slice(places.pop(), 1).to_pylist()[0]
    if places:
        raise DataError(
            f"{path}:{wanted}: row {wanted} is one problem, and row {names.index(wanted)} is that with the id "
            f"{wanted}: give the number of a row whose id is no number, or that row alone as JSON"
        )
    numbers = f"{path}:0 to {path}:{table.num_rows - 1} are its rows"
    if not wanted:
        raise DataError(f"{path}: which row? {numbers}")
    raise DataError(f"{path} has no row {wanted!r}; {did_you_mean(wanted, names, numbers)}")


def _read(path: Path) -> str:
    try:
        if str(path) == "-":
            return sys.stdin.read()
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error

"""The command of one data_prep/ file: `python data_prep/<name>.py` and `verl-coder data prepare <name>`."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from verl_coder.command_app import command_app
from verl_coder.data.dataset import Dataset, LoadOptions, Main
from verl_coder.errors import VerlCoderError
from verl_coder.files import refuse_file_in_the_way
from verl_coder.protocols import PROTOCOLS, Language

if TYPE_CHECKING:
    ProtocolName = str
else:
    ProtocolName = Literal[tuple(PROTOCOLS)]  # which typer shows as the choice


def run_script(script: Dataset | Main) -> None:
    """Run a data_prep/ file with the arguments of this process; a project error is one line, exit status 1."""
    try:
        script_app(script)()
    except VerlCoderError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def script_app(script: Dataset | Main) -> typer.Typer:
    """A typer app with one command: `prepare` with the options that the dataset accepts, or the file's `main`."""
    app = command_app()
    if isinstance(script, Dataset):
        variants = f" Variants: {', '.join(script.sources)}." if len(script.sources) > 1 else ""
        about = f"Prepare {script.name} ({script.license}) from the hub or --source.{variants}"
        app.command(help=about)(script_command(script))
    else:
        app.command()(script)
    return app


def script_command(script: Dataset | Main) -> Callable[..., None]:
    """The function whose signature holds the options of a dataset file's command."""
    return _prepare_command(script) if isinstance(script, Dataset) else script


def _prepare_command(dataset: Dataset) -> Callable[..., None]:
    """`_prepare` of `dataset`; its signature, which typer reads, has only the options that mean something here."""
    fixed = {"variant": dataset.default_variant, "verify": dataset.has_references}

    def command(**choices: Any) -> None:
        _prepare(dataset, **{**fixed, **choices})

    left_out = {"dataset"}
    if len(dataset.sources) == 1:
        left_out |= {"variant"}
    if not dataset.shows_tests:
        left_out |= {"visible_tests"}
    if not dataset.has_difficulties:
        left_out |= {"difficulty"}
    if not dataset.has_training_rows:
        left_out |= {"train_time_limit"}
    if not (dataset.shows_tests and dataset.has_training_rows and dataset.has_references):
        left_out |= {"train_stubs"}
    if not dataset.has_references:
        left_out |= {"verify", "drop_trivial", "sandbox_url", "ray_address", "concurrency"}
    full = inspect.signature(_prepare)
    kept = [parameter for name, parameter in full.parameters.items() if name not in left_out]
    kept = [parameter.replace(default=fixed.get(parameter.name, parameter.default)) for parameter in kept]
    command.__signature__ = full.replace(parameters=kept)  # type: ignore[attr-defined]
    return command


_Out = Annotated[Path, typer.Option(help="Folder for the Parquet files, the card and the verdicts.")]
_Source = Annotated[
    str | None, typer.Option(help="Local file or folder, or another hub name. Default: the hub.")
]
_VisibleTests = Annotated[int | None, typer.Option(min=0, help="Show only so many tests in the prompt.")]
_ValidationFraction = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Share of the problems without a split of their own.")
]
_Protocol = Annotated[
    ProtocolName,
    typer.Option(metavar="PROTOCOL", help=f"How the model may run code: {', '.join(PROTOCOLS)}."),
]
_TrainTimeLimit = Annotated[
    float | None,
    typer.Option(min=0.001, metavar="SECONDS", help="Most seconds for a test of a training row."),
]
_TrainStubs = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Share of the training rows posed as the head of a function, examples in its docstring.",
    ),
]
_DropTrivial = Annotated[bool, typer.Option("--drop-trivial", help="Drop tests that a constant passes.")]
_SandboxUrl = Annotated[
    str | None, typer.Option(help="Sandboxes, comma-separated. Default: SANDBOX_URL, else start one.")
]
_RayAddress = Annotated[str | None, typer.Option(help="Verify on every machine of this Ray cluster.")]
_Concurrency = Annotated[
    int, typer.Option(min=0, help="Problems at a time on a machine; 0: twice the cores.")
]
_Replace = Annotated[
    bool,
    typer.Option("--replace", help="Put the rows in the place of another dataset's or source's in --out."),
]
_Shard = Annotated[int | None, typer.Option(min=1, help="Write shards of so many rows.")]


def _prepare(
    dataset: Dataset,
    *,
    out: _Out,
    source: _Source = None,
    variant: Annotated[str, typer.Option(help="Variant of the dataset.")],
    language: Annotated[Language, typer.Option(help="Language of the prompt.")] = "en",
    protocol: _Protocol = "tool",
    visible_tests: _VisibleTests = None,
    difficulty: Annotated[str | None, typer.Option(help="Keep only this difficulty.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many problems.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    validation_fraction: _ValidationFraction = 0.2,
    train_time_limit: _TrainTimeLimit = None,
    train_stubs: _TrainStubs = 0.0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad record.")] = False,
    verify: Annotated[bool, typer.Option(help="Run every reference solution.")] = True,
    drop_trivial: _DropTrivial = False,
    sandbox_url: _SandboxUrl = None,
    ray_address: _RayAddress = None,
    concurrency: _Concurrency = 0,
    rows_per_shard: _Shard = None,
    replace: _Replace = False,
) -> None:
    from verl_coder.data.prepare_options import PrepareOptions
    from verl_coder.data.terminal import show_prepare
    from verl_coder.data.verification import VerifyOptions

    dataset.source(variant)
    refuse_file_in_the_way(out, "--out")
    load = LoadOptions(variant=variant, language=language, protocol=protocol, visible_tests=visible_tests)
    where = VerifyOptions(sandbox_url=sandbox_url, ray_address=ray_address, concurrency=concurrency)
    options = PrepareOptions(
        out=out,
        load=load,
        source=source,
        difficulty=difficulty,
        limit=limit,
        seed=seed,
        validation_fraction=validation_fraction,
        train_time_limit_s=train_time_limit,
        train_stubs=train_stubs,
        strict=strict,
        verify=where if verify else None,
        drop_trivial=drop_trivial,
        rows_per_shard=rows_per_shard,
        replace=replace,
    )
    show_prepare(dataset, options)

"""The command line of one dataset: `python data_prep/<dataset>.py` and `verl-coder data prepare <dataset>`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from verl_coder.data.dataset import Dataset, LoadOptions
from verl_coder.errors import DataError, VerlCoderError
from verl_coder.protocols import PROTOCOLS, Language

if TYPE_CHECKING:
    ProtocolName = str
else:
    ProtocolName = Literal[tuple(PROTOCOLS)]  # which typer shows as the choice


def run_script(dataset: Dataset) -> None:
    """Run `prepare` for `dataset` with the arguments of this process; a project error is one line, exit 1."""
    try:
        script_app(dataset)()
    except VerlCoderError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def script_app(dataset: Dataset) -> typer.Typer:
    """A typer app with one command, the options of `prepare`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    variants = ", ".join(dataset.sources)

    @app.command(help=f"Prepare {dataset.name} ({dataset.license}) from the hub or --source.")
    def command(
        out: Annotated[Path, typer.Option(help="Folder for the Parquet files, the card and the verdicts.")],
        source: Annotated[
            str | None, typer.Option(help="Local file or folder, or another hub name. Default: the hub.")
        ] = None,
        variant: Annotated[str, typer.Option(help=f"One of: {variants}.")] = dataset.default_variant,
        language: Annotated[Language, typer.Option(help="Language of the prompt.")] = "en",
        protocol: Annotated[ProtocolName, typer.Option(help="How the model may run code.")] = "tool",
        visible_tests: Annotated[
            int | None, typer.Option(min=0, help="Show only so many tests in the prompt (MBPP).")
        ] = None,
        difficulty: Annotated[str | None, typer.Option(help="Keep only this difficulty.")] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many problems.")] = None,
        seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
        validation_fraction: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.2,
        strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad record.")] = False,
        verify: Annotated[bool, typer.Option(help="Run every reference solution.")] = True,
        drop_trivial: Annotated[
            bool, typer.Option("--drop-trivial", help="Drop tests that a constant passes.")
        ] = False,
        sandbox_url: Annotated[
            str | None, typer.Option(help="Sandboxes, comma-separated. Default: SANDBOX_URL, else start one.")
        ] = None,
        ray_address: Annotated[
            str | None, typer.Option(help="Verify on every machine of this Ray cluster.")
        ] = None,
        concurrency: Annotated[int, typer.Option(min=0, help="Problems at a time on a machine.")] = 0,
        rows_per_shard: Annotated[
            int | None, typer.Option(min=1, help="Write shards of so many rows.")
        ] = None,
    ) -> None:
        from verl_coder.data.prepare import PrepareOptions
        from verl_coder.data.terminal import show_prepare
        from verl_coder.data.verification import VerifyOptions

        dataset.source(variant)
        if out.is_file():
            raise DataError(f"--out {out} is a file; give a folder")
        show_prepare(
            dataset,
            PrepareOptions(
                out=out,
                load=LoadOptions(
                    variant=variant, language=language, protocol=protocol, visible_tests=visible_tests
                ),
                source=source,
                difficulty=difficulty,
                limit=limit,
                seed=seed,
                validation_fraction=validation_fraction,
                strict=strict,
                verify=VerifyOptions(
                    sandbox_url=sandbox_url, ray_address=ray_address, concurrency=concurrency
                )
                if verify
                else None,
                drop_trivial=drop_trivial,
                rows_per_shard=rows_per_shard,
            ),
        )

    return app

"""`verl-coder data prepare | mix | verify | inspect`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from verl_coder.chat_template import HELP as CHAT_TEMPLATE_HELP
from verl_coder.command_app import CommandGroup, command_app
from verl_coder.consoles import PlainConsole, table_console

app = command_app(
    no_args_is_help=True,
    help="Datasets: prepare, mix, verify and look at Parquet files of problems.",
)


class _Datasets(CommandGroup):
    """A command for each file of data_prep/, with the options of that dataset."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [self.subcommand_metavar]

    def list_commands(self, ctx: Any) -> list[str]:
        from verl_coder.data.dataset import dataset_files

        return list(dataset_files())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from verl_coder.data.dataset import load_dataset_file
        from verl_coder.data.script import script_app

        command = typer.main.get_command(script_app(load_dataset_file(cmd_name)))
        command.name = cmd_name
        return command


app.add_typer(
    command_app(
        cls=_Datasets,
        no_args_is_help=True,
        subcommand_metavar="DATASET [OPTIONS]",
        help="Prepare one dataset: a file of data_prep/ by its name, or a path to such a file.",
    ),
    name="prepare",
)


@app.command()
def mix(
    shares: Annotated[str, typer.Option("--mix", help="Datasets and the fraction to take: mbpp=1,apps=0.5")],
    out: Annotated[Path, typer.Option(help="Folder for train, validation, overlaps.jsonl and the card.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the prepared datasets by name.")] = Path(
        "data"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the choice and of the order.")] = 0,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Held-out file or folder; repeatable. Default: the test splits under --data."),
    ] = None,
    decontaminate: Annotated[
        bool, typer.Option("--decontaminate", help="Drop repeats, of held-out problems and within the mix.")
    ] = False,
    similarity: Annotated[
        float, typer.Option(min=0.3, max=1.0, help="Jaccard similarity that makes two statements a repeat.")
    ] = 0.7,
    pass_rates: Annotated[
        Path | None,
        typer.Option(help="Measured difficulty: samples.parquet of an evaluation, or pass rates."),
    ] = None,
    train_pass_rate: Annotated[
        str | None,
        typer.Option(
            metavar="LOW-HIGH", help="Keep of the training rows those with such a measured rate: 0.2-0.8."
        ),
    ] = None,
    rows_per_shard: Annotated[int | None, typer.Option(min=1, help="Write shards of so many rows.")] = None,
) -> None:
    """Merge prepared datasets into one shuffled train and validation file, and report repeats."""
    from verl_coder.data.mix import MixOptions, parse_rate_range, parse_shares
    from verl_coder.data.terminal import show_mix

    show_mix(
        MixOptions(
            shares=parse_shares(shares),
            data=data,
            out=out,
            seed=seed,
            against=tuple(against or ()),
            decontaminate=decontaminate,
            similarity=similarity,
            pass_rates=pass_rates,
            train_pass_rate=parse_rate_range(train_pass_rate, "--train-pass-rate")
            if train_pass_rate
            else None,
            rows_per_shard=rows_per_shard,
        )
    )


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Parquet files, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the rows that pass, under the same file names.")],
    sandbox_url: Annotated[
        str | None, typer.Option(help="Sandboxes, comma-separated. Default: SANDBOX_URL, else start one.")
    ] = None,
    ray_address: Annotated[str | None, typer.Option(help="Verify on every machine of this cluster.")] = None,
    concurrency: Annotated[
        int, typer.Option(min=0, help="Problems at a time on a machine; 0: twice the cores.")
    ] = 0,
) -> None:
    """Run the reference solutions of prepared files and keep the rows that pass."""
    from verl_coder.data.prepared import resolve_prepared
    from verl_coder.data.terminal import show_recheck
    from verl_coder.data.verification import VerifyOptions

    paths = [file for path in files for file in resolve_prepared(path)]
    options = VerifyOptions(sandbox_url=sandbox_url, ray_address=ray_address, concurrency=concurrency)
    show_recheck(paths, out, options)


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Parquet files, or folders of them.")],
    tokenizer: Annotated[str | None, typer.Option(help="Folder or hub name: count prompt tokens.")] = None,
    tools: Annotated[
        Path | None, typer.Option(help="YAML of the tools, whose schemas are in the prompt.")
    ] = None,
    chat_template_kwargs: Annotated[str | None, typer.Option(help=CHAT_TEMPLATE_HELP)] = None,
    max_prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Count the prompts longer than this.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Number of rows to show.")] = 3,
    html: Annotated[Path | None, typer.Option(help="Also write a page with the distributions.")] = None,
) -> None:
    """Show counts, lengths, difficulty, tests per problem and a few rows as the model sees them."""

    from verl_coder.chat_template import template_options
    from verl_coder.data.inspect_html import write_html
    from verl_coder.data.inspect_terminal import show_statistics
    from verl_coder.data.prepared import resolve_prepared
    from verl_coder.data.statistics import collect, need_tokenizer, token_counter

    if tokenizer is None and (tools or max_prompt_tokens or chat_template_kwargs):
        need_tokenizer()
    options = template_options(chat_template_kwargs)
    paths = [file for path in files for file in resolve_prepared(path)]
    statistics = collect(
        paths,
        count_tokens=token_counter(tokenizer, tools, options) if tokenizer else None,
        max_prompt_tokens=max_prompt_tokens,
        examples=rows,
    )
    show_statistics(statistics, table_console(), max_prompt_tokens=max_prompt_tokens)
    if html:
        title = ", ".join(str(path) for path in files)
        write_html(statistics, html, title=title, max_prompt_tokens=max_prompt_tokens)
        PlainConsole(stderr=True).print(f"wrote {html}")

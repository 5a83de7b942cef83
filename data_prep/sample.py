"""Sample problems for the tiny model: writes train.parquet, validation.parquet and traces.parquet.

    python data_prep/sample.py --out data/sample

Needs no download and takes seconds; the same arguments write the same bytes. traces.parquet holds one trace for
every training problem: `problem_id` (that of the row), `messages` (a list of `{role, content}`, prompt included;
a tool call stands in the assistant's content as hermes text, its result is a message of role `tool`) and `source`.
"""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.data import run_script, take_folder, write_rows
from verl_coder.tiny.problems import problems
from verl_coder.tiny.trace_file import write_sample_traces


def main(
    out: Annotated[Path, typer.Option(help="Folder for the Parquet files.")],
    train: Annotated[int, typer.Option(min=1, help="Training problems (at most 1240).")] = 1024,
    val: Annotated[int, typer.Option(min=1, help="Held-out problems (at most 620).")] = 200,
    sft: Annotated[int, typer.Option(min=0, help="Further traces, of problems of the SFT split.")] = 0,
    direct_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of traces that answer without the tool.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the splits, the examples and the traces.")] = 0,
) -> None:
    """Write train.parquet, validation.parquet (no statement in both), traces.parquet and card.json."""
    training = list(problems("rl", train, seed=seed))
    held_out = list(problems("heldout", val, seed=seed))
    teacher = [*training, *problems("sft", sft, seed=seed)]
    options = {"train": train, "val": val, "sft": sft, "direct_share": direct_share, "seed": seed}
    take_folder(out, "sample", options)
    write_rows((s.problem for s in training), out / "train.parquet")
    write_rows((s.problem for s in held_out), out / "validation.parquet")
    write_sample_traces(teacher, out / "traces.parquet", seed=seed, direct_share=direct_share)
    typer.echo(f"{out}: {train} training and {val} held-out problems, {len(teacher)} traces")


if __name__ == "__main__":
    run_script(main)

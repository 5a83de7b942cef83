"""Chains of functions, on which state or a debugger pays: writes OUT/<tool>/train.parquet and validation.parquet.

    python data_prep/chains.py --out data/chains                                  # for the tiny model
    python data_prep/chains.py --out data/chains_full --wording full --depths "3 4 5"

One folder for each tool (none, interpreter, session, debugger, debugger_late, program): the same problems, ids, tests
and order; only the prompt's part on the tool and the agent loop differ. Needs no download; the same arguments write
the same bytes. `--sft N` also writes OUT/traces.parquet, N conversations of a careful solver, all tools in turn.
"""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.chains.problems import KINDS, MAX_DEPTH, Kind, chains
from verl_coder.chains.traces import chain_traces, write_trace_rows
from verl_coder.chains.wording import TOOLS, ChainRows, Wording
from verl_coder.data import run_script, take_folder, write_rows
from verl_coder.errors import ConfigError


def main(
    out: Annotated[Path, typer.Option(help="Folder for the Parquet files.")],
    train: Annotated[int, typer.Option(min=1, help="Training problems.")] = 512,
    val: Annotated[int, typer.Option(min=1, help="Held-out problems.")] = 96,
    sft: Annotated[int, typer.Option(min=0, help="Traces, of problems of the SFT split.")] = 0,
    direct_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of traces that answer without a call.")
    ] = 0.3,
    kinds: Annotated[str, typer.Option(help="Kinds, separated by spaces: plain, state, bug.")] = "state bug",
    depths: Annotated[str, typer.Option(help="Functions that call each other, separated by spaces.")] = "2 3",
    wording: Annotated[str, typer.Option(help="tiny (few words) or full (the unified prompt).")] = "tiny",
    seed: Annotated[int, typer.Option(help="Seed of the problems and the traces.")] = 0,
) -> None:
    """Write the rows of every tool (no statement is both in training and held out), and the traces."""
    chosen, numbers = _kinds(kinds), _depths(depths)
    wordings: dict[str, Wording] = {"tiny": "tiny", "full": "full"}
    if wording not in wordings:
        raise ConfigError(f"--wording {wording!r}: use tiny or full")
    training = list(chains("rl", train, seed=seed, kinds=chosen, depths=numbers))
    held_out = list(chains("heldout", val, seed=seed, kinds=chosen, depths=numbers))
    options = {"train": train, "val": val, "kinds": kinds, "depths": depths, "wording": wording, "seed": seed}
    for tool in TOOLS:
        take_folder(out / tool, "chains", options)
    for tool in TOOLS:
        rows = ChainRows(tool=tool, wording=wordings[wording])
        write_rows(
            (rows.problem(c, split="rl", index=i) for i, c in enumerate(training)),
            out / tool / "train.parquet",
        )
        write_rows(
            (rows.problem(c, split="heldout", index=i) for i, c in enumerate(held_out)),
            out / tool / "validation.parquet",
        )
    if sft:
        teacher = chains("sft", sft, seed=seed, kinds=chosen, depths=numbers)
        write_trace_rows(chain_traces(teacher, seed=seed, direct_share=direct_share), out / "traces.parquet")
    typer.echo(
        f"{out}: {train} training and {val} held-out problems for each of {len(TOOLS)} tools, {sft} traces"
    )


def _kinds(text: str) -> list[Kind]:
    known = {kind: kind for kind in KINDS}
    for name in text.split():
        if name not in known:
            raise ConfigError(f"--kinds {name!r}: there are {', '.join(KINDS)}")
    if not text.split():
        raise ConfigError(f"--kinds is empty: there are {', '.join(KINDS)}")
    return [known[name] for name in text.split()]  # type: ignore[index]


def _depths(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split()]
    except ValueError:
        numbers = []
    if not numbers or not all(1 <= number <= MAX_DEPTH for number in numbers):
        raise ConfigError(f"--depths {text!r}: give whole numbers of 1 to {MAX_DEPTH}, separated by spaces")
    return numbers


if __name__ == "__main__":
    run_script(main)

"""From traces to the trainer's rows: tokenise, leave out and count what is too long, split, shuffle, write."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.errors import DataError
from verl_coder.files import whole_file
from verl_coder.trace_messages import TraceError
from verl_coder.traces import Trace, TraceRow, TraceTokenizer

ROW_SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("loss_mask", pa.list_(pa.int8()))])
"""What `TokenRows` reads."""


@dataclass(frozen=True, kw_only=True)
class TokenisedTraces:
    """The rows of a file, each with its problem, and how many traces were too long for one."""

    read: int
    rows: list[tuple[str, TraceRow]] = field(default_factory=list)

    @property
    def too_long(self) -> int:
        """Traces whose prompt or response is longer than a rollout's may be."""
        return self.read - len(self.rows)


def tokenise(traces: Sequence[Trace], tokenizer: TraceTokenizer, *, place: str) -> TokenisedTraces:
    """Every trace as a row; DataError names `place` and the trace that this model cannot express."""
    rows = []
    for index, trace in enumerate(traces):
        try:
            row = tokenizer.row(trace)
        except (TraceError, ValueError) as error:
            raise DataError(f"{place}, row {index}: {error}") from error
        if row is not None:
            rows.append((trace.problem_id, row))
    return TokenisedTraces(read=len(traces), rows=rows)


def split_by_problem(
    rows: Sequence[tuple[str, TraceRow]], share: float, *, seed: int
) -> tuple[list[tuple[str, TraceRow]], list[tuple[str, TraceRow]]]:
    """(training, held out): whole problems are held out, about `share` of the rows, the same for the same seed.

    The last problem is never held out, so that something is left to train on.
    A trace without a problem_id is a problem of its own.
    """
    groups: dict[str, list[tuple[str, TraceRow]]] = {}
    for index, (problem_id, row) in enumerate(rows):
        groups.setdefault(problem_id or f"#{index}", []).append((problem_id, row))
    names = sorted(groups)
    random.Random(f"sft/split/{seed}").shuffle(names)
    wanted = round(share * len(rows))
    training: list[tuple[str, TraceRow]] = []
    held_out: list[tuple[str, TraceRow]] = []
    for name in names[:-1]:
        (held_out if len(held_out) < wanted else training).extend(groups[name])
    for name in names[-1:]:
        training.extend(groups[name])
    return training, held_out


def shuffled(rows: Sequence[tuple[str, TraceRow]], *, seed: int) -> list[TraceRow]:
    """The rows in an order that depends on the seed only (verl's sampler shuffles every epoch with seed 0)."""
    order = [row for _, row in rows]
    random.Random(f"sft/order/{seed}").shuffle(order)
    return order


def write_rows(rows: Iterable[TraceRow], path: Path) -> None:
    """Write the trainer's file: prompt and response in one, the loss on what the mask says and not on the prompt."""
    table = pa.Table.from_pylist(
        [
            {
                "input_ids": [*row.prompt_ids, *row.response_ids],
                "loss_mask": [*(0 for _ in row.prompt_ids), *row.loss_mask],
            }
            for row in rows
        ],
        schema=ROW_SCHEMA,
    )
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def length(row: TraceRow) -> int:
    """Tokens of a row, the prompt included."""
    return len(row.prompt_ids) + len(row.response_ids)

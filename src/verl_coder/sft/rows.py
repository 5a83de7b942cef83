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
    """The rows of a file, each with its problem's name (`problem_names`), and how many traces were too long for one."""

    read: int
    rows: list[tuple[str, TraceRow]] = field(default_factory=list)

    @property
    def too_long(self) -> int:
        """Traces whose prompt or response is longer than a rollout's may be."""
        return self.read - len(self.rows)


def tokenise(traces: Sequence[Trace], tokenizer: TraceTokenizer, *, place: str) -> TokenisedTraces:
    """Every trace as a row; DataError names `place` and the trace that this model cannot express."""
    rows = []
    for index, (name, trace) in enumerate(zip(problem_names(traces), traces, strict=True)):
        try:
            row = tokenizer.row(trace)
        except (TraceError, ValueError) as error:
            raise DataError(f"{place}, row {index}: {error}") from error
        if row is not None:
            rows.append((name, row))
    return TokenisedTraces(read=len(traces), rows=rows)


def problem_names(traces: Sequence[Trace]) -> list[str]:
    """A name for the problem of each: one for all that have the problem_id or the prompt's text in common.

    It is the first problem_id among them, without any of them the prompt's text.
    """
    leaders: dict[tuple[str, str], tuple[str, str]] = {}

    def leader(mark: tuple[str, str]) -> tuple[str, str]:
        while (above := leaders.setdefault(mark, mark)) != mark:
            mark = leaders[mark] = leaders[above]
        return mark

    for trace in traces:
        first, *others = marks(trace)
        for other in others:
            leaders[leader(other)] = leader(first)
    found = [leader(marks(trace)[0]) for trace in traces]
    names: dict[tuple[str, str], str] = {}
    for mark, trace in zip(found, traces, strict=True):
        names[mark] = names.get(mark) or trace.problem_id
    return [names[mark] or mark[1] for mark in found]


def marks(trace: Trace) -> list[tuple[str, str]]:
    """In which two traces of one problem agree, one of it at least: the prompt's text, and the problem_id if any."""
    named = [("problem_id", trace.problem_id)] if trace.problem_id else []
    return [("prompt", trace.prompt_text), *named]


def split_by_problem(
    rows: Sequence[tuple[str, TraceRow]], share: float, *, seed: int
) -> tuple[list[tuple[str, TraceRow]], list[tuple[str, TraceRow]]]:
    """(training, held out): whole problems are held out, about `share` of the rows, the same for the same seed.

    The last problem is never held out, so that something is left to train on.
    """
    groups: dict[str, list[tuple[str, TraceRow]]] = {}
    for problem, row in rows:
        groups.setdefault(problem, []).append((problem, row))
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

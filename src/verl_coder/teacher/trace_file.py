"""Traces as the Parquet file that the three-source update reads (verl_coder/traces.py)."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.data.prepared import resolve_prepared
from verl_coder.files import keep_apart, whole_file

_BATCH_ROWS = 512
TRACE_SCHEMA = pa.schema(
    [
        ("problem_id", pa.string()),
        (
            "messages",
            pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int8())])),
        ),
        ("source", pa.string()),
    ]
)
"""Of every file of traces; a kind of traces may add columns of its own. `weight` is 0 on a turn that is only read."""


def write_traces(
    rows: Iterable[Mapping[str, Any]], path: Path, *, further: Sequence[tuple[str, pa.DataType]] = ()
) -> int:
    """Write rows with the columns of TRACE_SCHEMA and `further` ones, whole or not at all; returns how many.

    Only a batch of rows is in memory at a time.
    """
    schema = pa.schema([*TRACE_SCHEMA, *(pa.field(name, kind) for name, kind in further)])
    written, left = 0, iter(rows)
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while batch := list(islice(left, _BATCH_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            written += len(batch)
    return written


def keep_inputs(
    written: Mapping[str, Path], problems: Iterable[Path], read: Mapping[str, Iterable[Path]]
) -> None:
    """ConfigError where a file that will be written is one of the problems, one that is read, or written twice."""
    files = [file for path in problems if not path.is_dir() for file in resolve_prepared(path)]
    keep_apart(written, {"--problems": files, **read})


def beside(out: Path, ending: str) -> Path:
    """The file of the traces `out` with another ending; only `.parquet` is one: v1.0 and v1.1 are two files."""
    return out.with_name(f"{out.name.removesuffix('.parquet')}{ending}")


def set_aside(path: Path) -> str:
    """Rename an older file, which would pass for the new one that there is not; what to say of it, empty without one.

    OSError where it cannot be renamed.
    """
    if not path.exists():
        return ""
    names = (path.with_suffix(f".superseded-{number}{path.suffix}") for number in count(1))
    target = next(name for name in names if not name.exists())
    path.rename(target)
    return f", and the older one is now {target}"

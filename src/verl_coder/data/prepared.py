"""Reading back what `prepare` and `mix` wrote: rows in batches, or only the columns that are asked for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.data.replacing import refuse_half_written
from verl_coder.data.writer import whole_of_shard, whole_shards_of
from verl_coder.errors import DataError
from verl_coder.files import is_there
from verl_coder.paths import places_of, resolve_content_path
from verl_coder.problems import ROW_SCHEMA

_BATCH_ROWS = 64
_NOTHING = "no such Parquet file, and no shards of it"


def resolve_prepared(path: Path) -> list[Path]:
    """The Parquet files at `path`: a file, the shards of a name, or all splits in a folder.

    Other Parquet files of a folder (rejected records, traces) are passed over.
    """
    if path.is_file():
        refuse_half_written(path.parent)
        return [path]
    if path.is_dir():
        found = [p for p in sorted(path.glob("*.parquet")) if _holds_rows(p)]
        if not found:
            raise DataError(
                f"{path} is a folder without a Parquet file of rows: `verl-coder data prepare` makes one"
            )
        for whole in dict.fromkeys(map(whole_of_shard, found)):
            whole_shards_of(whole)
    else:
        found = _shards(path)
    if not found:
        raise DataError(f"{path.absolute()}: {_NOTHING}")
    return found


def find_prepared(value: str) -> Path:
    """The path that a command's `value` names, in the working folder or the repository.

    DataError, which names each place that was looked at, where no Parquet file, shards or folder is there.
    """
    path, places = resolve_content_path(value), places_of(value)
    if is_there(path):
        return path
    if (whole := next(filter(_shards, places), None)) is None:
        raise DataError(f"{value}: {_NOTHING}; looked at {' and '.join(map(str, places))}")
    return whole


def _shards(path: Path) -> list[Path]:
    return whole_shards_of(path if path.suffix == ".parquet" else path.with_name(path.name + ".parquet"))


def open_prepared(path: Path) -> pq.ParquetFile:
    """A Parquet file of rows; DataError when it cannot be read or a column is missing."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]})") from error
    missing = [name for name in ROW_SCHEMA.names if name not in file.schema_arrow.names]
    if missing:
        raise DataError(
            f"{path} lacks the column {missing[0]!r}; its columns are {', '.join(file.schema_arrow.names)}"
        )
    return file


def iter_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows in order, a batch in memory at a time; `columns` may name nested ones (`extra_info.problem_id`)."""
    file = open_prepared(path)
    batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns) if columns else None)
    while (rows := _next_rows(batches, path)) is not None:
        yield from rows


def _next_rows(batches: Iterator[pa.RecordBatch], path: Path) -> list[dict[str, Any]] | None:
    """The rows of the next batch, None at the end; DataError where the file's pages are damaged."""
    with whole_pages(str(path)):
        batch = next(batches, None)
        return None if batch is None else list(batch.to_pylist())


@contextmanager
def whole_pages(place: str) -> Iterator[None]:
    """DataError, with the `place` of the file, where what is read in the block is damaged."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{place} is damaged ({str(error).splitlines()[0][:200]}): make the file again"
        ) from error


def _holds_rows(path: Path) -> bool:
    try:
        return set(ROW_SCHEMA.names) <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return path.name != "rejected.parquet"  # its reader then says what is wrong with it

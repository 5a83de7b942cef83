"""Problems -> Parquet with one Arrow schema: streamed, atomic, and the same bytes for the same problems."""

import glob
import os
import re
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.data.replacing import refuse_half_written, replacing
from verl_coder.errors import DataError
from verl_coder.files import file_sha256, make_folder, own_mark, sweep, writing
from verl_coder.problems import ROW_SCHEMA, Problem

ROW_GROUP_ROWS = 1000
ROW_GROUP_BYTES = 32 * 2**20
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.parquet")


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """One finished Parquet file."""

    path: Path
    rows: int
    sha256: str


def write_rows(
    problems: Iterable[Problem], path: Path, *, rows_per_shard: int | None = None
) -> list[WrittenFile]:
    """Write `path`, or `STEM-00000-of-00003.parquet` beside it with `rows_per_shard`; all files or none.

    Memory is one row group (at most 1000 rows or about 32 MB). Older shards of the same stem are removed.
    DataError when `problems` is empty, because nothing downstream can use a file without rows.
    """
    with RowWriter(path, rows_per_shard=rows_per_shard) as writer:
        for problem in problems:
            writer.add(problem)
        with replacing(path.parent) if rows_per_shard else nullcontext():
            return writer.commit()


class RowWriter:
    """Writes row by row: `add` each problem, then `commit`; without it no file is left, nor a folder of its own."""

    def __init__(
        self, path: Path, *, rows_per_shard: int | None = None, schema: pa.Schema = ROW_SCHEMA
    ) -> None:
        if path.suffix != ".parquet":
            raise DataError(f"{path}: the name of an output file must end with .parquet")
        if rows_per_shard is not None and rows_per_shard < 1:
            raise DataError(f"rows per shard is {rows_per_shard}; it must be at least 1")
        self.path = path
        self.rows = 0
        self.removed: list[Path] = []
        """Files of an earlier run that `commit` or `withdraw` has removed."""
        self._schema = schema
        self._rows_per_shard = rows_per_shard
        self._pending: list[dict[str, Any]] = []
        self._pending_bytes = 0
        self._file: pq.ParquetWriter | None = None
        self._shards: list[tuple[Path, int]] = []
        self._made_folder = False

    def __enter__(self) -> "RowWriter":
        self._made_folder = not self.path.parent.exists()
        make_folder(self.path.parent)
        begin = len(f".{self.path.stem}-00000.")
        sweep(
            self.path.parent.glob(f".{glob.escape(self.path.stem)}-?????.*.tmp"),
            lambda name: name[begin:].removesuffix(".tmp"),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk: closing writes the end of the file
                self._file.close()
        for temporary, _ in self._shards:
            temporary.unlink(missing_ok=True)
        if self._made_folder and error is not None:
            with suppress(OSError):  # others have written there
                self.path.parent.rmdir()

    def add(self, problem: Problem) -> None:
        """Append one problem."""
        self.add_row(problem.to_row())

    def add_row(self, row: dict[str, Any]) -> None:
        """Append one row of the schema."""
        if self._rows_per_shard and self._shards and self._shards[-1][1] >= self._rows_per_shard:
            self._close_shard()
        if self._file is None:
            self._open_shard()
        self._pending.append(row)
        for value in (row["reward_model"]["ground_truth"], row["extra_info"]["reference_solution"]):
            self._pending_bytes += len(value if isinstance(value, str) else str(value))
        self.rows += 1
        self._shards[-1] = (self._shards[-1][0], self._shards[-1][1] + 1)
        if len(self._pending) >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def commit(self, *, may_be_empty: bool = False) -> list[WrittenFile]:
        """Move the finished files into place and remove the shards of an earlier run: the caller says `replacing`."""
        if not self.rows:
            if not may_be_empty:
                raise DataError(f"{self.path}: no rows to write")
            self._open_shard()
        self._close_shard()
        targets = self._targets()
        written = []
        for (temporary, rows), target in zip(self._shards, targets, strict=True):
            with writing(target):
                os.replace(temporary, target)
            written.append(WrittenFile(path=target, rows=rows, sha256=file_sha256(target)))
        self._shards = []
        self._remove(set(shards_of(self.path)) - set(targets))
        return written

    def withdraw(self) -> None:
        """In the place of `commit`, where there are no rows: remove the files of an earlier run."""
        self._remove(shards_of(self.path))

    def _remove(self, stale: Iterable[Path]) -> None:
        for path in sorted(stale):
            with writing(path):
                path.unlink()
            self.removed.append(path)

    def _targets(self) -> list[Path]:
        if self._rows_per_shard is None:
            return [self.path]
        count = len(self._shards)
        stem = self.path.with_suffix("").name
        return [self.path.with_name(f"{stem}-{i:05d}-of-{count:05d}.parquet") for i in range(count)]

    def _open_shard(self) -> None:
        temporary = self.path.with_name(f".{self.path.stem}-{len(self._shards):05d}.{own_mark()}.tmp")
        self._shards.append((temporary, 0))
        with writing(self.path):
            self._file = pq.ParquetWriter(temporary, self._schema, compression="zstd")

    def _close_shard(self) -> None:
        self._flush()
        if self._file is not None:
            with writing(self.path):
                self._file.close()
            self._file = None

    def _flush(self) -> None:
        if self._pending:
            assert self._file is not None
            try:
                table = pa.Table.from_pylist(self._pending, schema=self._schema)
            except (pa.ArrowException, TypeError, AttributeError) as error:
                raise DataError(
                    f"{self.path}: a row has a value of another type than its column ({error})"
                ) from error
            with writing(self.path):
                self._file.write_table(table)
        self._pending, self._pending_bytes = [], 0


def shards_of(path: Path) -> list[Path]:
    """The files that stand for `path`: itself, or the shards of its stem, in order; empty if there are none."""
    pattern = re.compile(re.escape(path.stem) + r"(-\d{5}-of-\d{5})?\.parquet")
    return sorted(p for p in path.parent.glob("*.parquet") if pattern.fullmatch(p.name))


def whole_shards_of(path: Path) -> list[Path]:
    """`shards_of`, to be read: DataError where one is missing or of another writing, or the rows stand there twice."""
    refuse_half_written(path.parent)
    found = shards_of(path)
    shards = [match for file in found if (match := _SHARD.fullmatch(file.name))]
    counts = {int(match[3]) for match in shards}
    if len(counts) > 1 or (shards and len(shards) < len(found)):
        raise DataError(
            f"{found[0]} and {found[-1]} are two writings of the same rows: remove the one that is older"
        )
    for count in counts:
        numbers = {int(match[2]) for match in shards}
        if missing := sorted(set(range(count)) - numbers):
            name = f"{path.stem}-{missing[0]:05d}-of-{count:05d}.parquet"
            raise DataError(
                f"{path.with_name(name)} is missing: {count} shards belong together; copy it, too"
            )
    return found


def whole_of_shard(path: Path) -> Path:
    """The file that a shard is a part of; any other file is itself."""
    match = _SHARD.fullmatch(path.name)
    return path.with_name(f"{match[1]}.parquet") if match else path

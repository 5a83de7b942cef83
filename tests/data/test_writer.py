"""The writer: one schema, all or nothing, the same bytes twice."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from verl_coder.data.prepared import iter_rows
from verl_coder.data.writer import shards_of, write_rows
from verl_coder.errors import DataError, FileWriteError
from verl_coder.problems import ROW_SCHEMA, AssertTests, Problem


def problems(count: int) -> Iterator[Problem]:
    for i in range(count):
        yield Problem(
            data_source="mbpp",
            problem_id=f"mbpp/{i}",
            prompt=({"role": "user", "content": f"problem {i}"},),
            tests=AssertTests(tests=(f"assert f({i}) == {i}",)),
            split="train",
            index=i,
        )


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    [written] = write_rows(problems(5), tmp_path / "deep" / "train.parquet")
    table = pq.read_table(written.path)
    assert table.schema.equals(ROW_SCHEMA)
    assert [Problem.from_row(row) for row in table.to_pylist()] == list(problems(5))


def test_the_same_problems_give_the_same_bytes(tmp_path: Path) -> None:
    [first] = write_rows(problems(2500), tmp_path / "a.parquet")
    [second] = write_rows(problems(2500), tmp_path / "b.parquet")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256


def test_shards_hold_all_rows_in_order_and_replace_older_shards(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    other = write_rows(problems(1), tmp_path / "train-extra.parquet")[0].path
    assert [w.rows for w in write_rows(problems(7), path, rows_per_shard=2)] == [2, 2, 2, 1]
    written = write_rows(problems(5), path, rows_per_shard=3)
    assert [w.path.name for w in written] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert shards_of(path) == [w.path for w in written]
    rows = [row for w in written for row in pq.read_table(w.path).to_pylist()]
    assert [row["extra_info"]["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert other.exists()


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    write_rows(problems(3), path)
    before = path.read_bytes()

    def failing() -> Iterator[Problem]:
        yield from problems(1500)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        write_rows(failing(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["train.parquet"]


def test_no_rows_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"empty\.parquet: no rows"):
        write_rows([], tmp_path / "empty.parquet")
    assert list(tmp_path.iterdir()) == []


def test_damaged_pages_are_named_and_no_traceback(tmp_path: Path) -> None:
    [written] = write_rows(problems(500), tmp_path / "train.parquet")
    content = bytearray(written.path.read_bytes())
    content[100 : len(content) // 2] = b"\xff" * (len(content) // 2 - 100)
    written.path.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.parquet is damaged") as error:
        list(iter_rows(written.path))
    assert "\n" not in str(error.value)


def test_a_folder_that_was_made_for_rows_that_did_not_come_is_taken_away_and_no_other(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path):
        with pytest.raises(DataError):
            write_rows([], folder / "train.parquet")
    assert tmp_path.is_dir() and not (tmp_path / "new").exists()


def test_a_full_disk_is_said_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [before] = write_rows(problems(2), tmp_path / "train.parquet")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(FileWriteError, match=r"train\.parquet cannot be written .*: make room on the disk"):
        write_rows(problems(5), tmp_path / "train.parquet")
    with pytest.raises(FileWriteError):
        write_rows(problems(5), tmp_path / "new" / "train.parquet")
    assert list(tmp_path.iterdir()) == [before.path] and pq.read_metadata(before.path).num_rows == 2


def test_what_a_killed_run_left_goes_with_the_next_and_that_of_a_running_one_stays(
    tmp_path: Path, dead_pid: int
) -> None:
    host = socket.gethostname()
    left = tmp_path / f".train-00000.{dead_pid}@{host}.tmp"
    others = [
        tmp_path / f".train-00000.{os.getppid()}@{host}.tmp",
        tmp_path / f".train-00000.{dead_pid}@another-{host}.tmp",
        tmp_path / f".test-00000.{dead_pid}@{host}.tmp",
    ]
    for path in (left, *others):
        path.write_text("")
    write_rows(problems(2), tmp_path / "train.parquet")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "train.parquet"])

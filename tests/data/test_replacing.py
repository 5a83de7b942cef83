"""Files of a folder change together: readers refuse what a killed writer left, and the second writer waits."""

import os
import threading
from pathlib import Path

import pytest

from tests.data.test_writer import problems
from verl_coder.data import writer as writer_module
from verl_coder.data.prepared import iter_rows, resolve_prepared
from verl_coder.data.replacing import MARK, refuse_half_written, replacing
from verl_coder.data.writer import whole_shards_of, write_rows
from verl_coder.errors import DataError
from verl_coder.launch.preflight.files import check_parquet


class Killed(BaseException):
    """In the place of SIGKILL: nothing catches it."""


def killed_at_the_second_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    renamed: list[object] = []

    def replace(source: Path, target: Path) -> None:
        renamed.append(target)
        if len([name for name in renamed if MARK not in str(name)]) == 2:
            raise Killed
        os.rename(source, target)

    monkeypatch.setattr(writer_module.os, "replace", replace)


def test_shards_of_two_writings_are_refused_until_they_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train.parquet"
    write_rows(problems(6), path, rows_per_shard=2)
    with monkeypatch.context() as patch:
        killed_at_the_second_rename(patch)
        with pytest.raises(Killed):
            write_rows(reversed(list(problems(6))), path, rows_per_shard=2)
    first = path.with_name("train-00000-of-00003.parquet")
    for read in (
        lambda: whole_shards_of(path),
        lambda: resolve_prepared(tmp_path),
        lambda: resolve_prepared(first),
        lambda: check_parquet("data.train_files", [first]),
    ):
        with pytest.raises(DataError, match="holds files of two writings"):
            read()
    write_rows(reversed(list(problems(6))), path, rows_per_shard=2)
    found = [row["extra_info"]["problem_id"] for file in whole_shards_of(path) for row in iter_rows(file)]
    assert sorted(found) == [f"mbpp/{i}" for i in range(6)] and not (tmp_path / MARK).exists()


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with replacing(tmp_path):
            order.append("second")

    with replacing(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    refuse_half_written(tmp_path)

"""Rows on their way through temporary files: nothing of them stays, whatever ends the run."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from verl_coder.data.shuffle import Shuffler
from verl_coder.errors import FileWriteError


class _FullDisk:
    """A stream on a disk that takes nothing more."""

    def _full(self, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write = seek = close = _full


@pytest.mark.parametrize("step", ["add", "rows"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, step: str) -> None:
    with (
        pytest.raises(FileWriteError, match=r"cannot be written .*: make room on the disk"),
        Shuffler(tmp_path, bytes_in=1) as shuffler,
    ):
        shuffler._streams = [_FullDisk()]  # type: ignore[list-item]
        if step == "add":
            shuffler.add(0.5, {})
        else:
            list(shuffler.rows())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_goes_with_the_next_and_that_of_a_running_one_stays(
    tmp_path: Path, dead_pid: int
) -> None:
    host = socket.gethostname()
    left, running, elsewhere = (
        tmp_path / f".shuffle-{mark}-ab_c"
        for mark in (f"{dead_pid}@{host}", f"{os.getppid()}@{host}", f"{dead_pid}@another-{host}")
    )
    for folder in (left, running, elsewhere):
        folder.mkdir()
        (folder / "0.jsonl").write_text("")
    with Shuffler(tmp_path, bytes_in=1) as shuffler:
        shuffler.add(0.5, {"a": 1})
        assert list(shuffler.rows()) == [{"a": 1}]
    assert {*tmp_path.iterdir()} == {running, elsewhere}

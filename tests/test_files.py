"""A file is written whole or not at all, and never over one that is read."""

import errno
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError, DataError, FileWriteError
from verl_coder.files import (
    append_line,
    is_there,
    json_lines,
    keep_apart,
    locked,
    make_folder,
    read_json,
    whole_file,
    write_atomically,
    write_durably,
)


def test_text_that_cannot_be_written_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_halfway_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_file(tmp_path / "new" / "file") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert not list((tmp_path / "new").iterdir())


def test_a_file_is_one_file_by_each_of_its_names(tmp_path: Path) -> None:
    data = tmp_path / "data.parquet"
    data.write_bytes(b"rows")
    (tmp_path / "link").symlink_to(data)
    (tmp_path / "hard").hardlink_to(data)
    for name in ("data.parquet", "link", "hard", "../" + tmp_path.name + "/data.parquet"):
        with pytest.raises(ConfigError, match=r"--out .* is the file of --problems"):
            keep_apart({"--out": tmp_path / name}, {"--problems": [data]})


def test_two_files_to_be_written_are_not_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--journal .* is the file of --out"):
        keep_apart({"--out": tmp_path / "x", "--journal": tmp_path / "x"}, {})


def test_different_files_are_let_be(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"")
    written = {"--out": tmp_path / "old", "--journal": tmp_path / "new"}
    keep_apart(written, {"--problems": [tmp_path / "problems", tmp_path / "more"]})


WRITERS = {
    "whole": lambda path: write_atomically(path, "text"),
    "durable": lambda path: write_durably(path, "text"),
    "line": lambda path: append_line(path, "text"),
    "folder": lambda path: make_folder(path / "folder"),
    "lock": lambda path: locked(path, "").__enter__(),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_what_cannot_be_written_is_one_line_with_its_place_and_is_still_an_oserror(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file" / "below", Path("/proc/verl_coder/x")):
        with pytest.raises(FileWriteError, match=rf"{path}.* cannot be written \(.+\): \w+") as error:
            write(path)
        assert "\n" not in str(error.value) and isinstance(error.value, OSError) and error.value.errno
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_file_as_it_was_and_says_what_to_do() -> None:
    with pytest.raises(FileWriteError, match="make room on the disk"):
        append_line(Path("/dev/full"), "text")


NOT_JSON = {"torn": b"{", "a list": b"[1]", "no text": b"\xff\xfe", "deep": b"[" * 100_000, "empty": b""}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_holds_no_json_object_is_one_line_with_place_and_fix(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.json .*: put it back$") as error:
        read_json(tmp_path / "x.json", "put it back")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match=r"cannot be read \(.*\): put it back"):
            read_json(path, "put it back")


def test_what_can_be_no_name_is_not_there(tmp_path: Path) -> None:
    assert is_there(tmp_path) and not is_there(Path("a." * 200)) and not is_there(Path("a\0b"))


@pytest.mark.parametrize("byte", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\0", "\xff"])
def test_a_damaged_byte_is_told_with_the_number_of_its_line(tmp_path: Path, byte: str) -> None:
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"a": number, "text": "some words"}).encode() for number in range(4)]
    lines[2] = lines[2][:20] + byte.encode("latin-1", "ignore") + lines[2][21:-2]
    path.write_bytes(b"\n".join(lines) + b"\n")
    found = json_lines(path)
    assert [next(found)["a"], next(found)["a"]] == [0, 1]
    with pytest.raises(DataError, match=r"x\.jsonl is damaged in line 3 "):
        next(found)


def test_ends_of_lines_in_a_text_and_between_values_cut_no_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes('{"a": "\u2028\x85"}\n{"a":\r1}\r\n'.encode())
    assert list(json_lines(path)) == [{"a": "\u2028\x85"}, {"a": 1}]


def test_a_lock_is_another_process_s_only_where_the_kernel_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A network disk that takes no locks is no other run; whoever starts there is told."""
    path = tmp_path / "lock"
    with locked(path, "busy"), pytest.raises(ConfigError, match="busy"), locked(path, "busy"):
        pass

    def refuse(number: int) -> None:
        def flock(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    for number in (errno.EAGAIN, errno.EACCES):
        refuse(number)
        with pytest.raises(ConfigError, match="busy"), locked(path, "busy"):
            pass
    assert caplog.text == ""
    for number in (errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL):
        refuse(number)
        with locked(path, "busy"):
            assert f"{path}: its file system takes no locks" in caplog.text
        caplog.clear()

"""A file is written whole or not at all, and never over one that is read."""

from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.files import keep_apart, whole_file, write_atomically


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

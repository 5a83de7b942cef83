"""A file is written whole or not at all."""

from pathlib import Path

import pytest

from verl_coder.files import whole_file, write_atomically


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

"""A path to prepared rows: where it is looked for, and what is said where nothing is there."""

from pathlib import Path

import pytest

from verl_coder.data import write_rows
from verl_coder.data.prepared import find_prepared, resolve_prepared
from verl_coder.errors import DataError
from verl_coder.paths import repository_root
from verl_coder.problems import AssertTests, Problem


def test_a_relative_path_that_is_nowhere_names_each_place_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        find_prepared("data/nope.parquet")
    places = f"{tmp_path}/data/nope.parquet and {repository_root().resolve()}/data/nope.parquet"
    assert str(error.value) == (
        f"data/nope.parquet: no such Parquet file, and no shards of it; looked at {places}"
    )
    monkeypatch.chdir(repository_root())
    with pytest.raises(DataError, match=rf"looked at {repository_root().resolve()}/data/nope\.parquet$"):
        find_prepared("data/nope.parquet")


def test_an_absolute_path_is_looked_for_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"; looked at {tmp_path}/a\.parquet$"):
        find_prepared(str(tmp_path / "a.parquet"))


def test_shards_in_the_working_folder_are_found_by_the_name_that_they_stand_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train-00000-of-00001.parquet").touch()
    for name in ("train.parquet", "train"):
        assert resolve_prepared(find_prepared(name)) == [tmp_path / "train-00000-of-00001.parquet"]


def test_a_path_of_another_command_says_where_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^{tmp_path}/nope\.parquet: no such Parquet file"):
        resolve_prepared(Path("nope.parquet"))


def test_shards_are_read_together_or_not_at_all(tmp_path: Path) -> None:
    problems = [
        Problem(
            data_source="toy",
            problem_id=f"toy/{number}",
            prompt=({"role": "user", "content": "Do it."},),
            tests=AssertTests(tests=("assert f(1) == 1",)),
            split="train",
        )
        for number in range(6)
    ]
    write_rows(problems, tmp_path / "train.parquet", rows_per_shard=2)
    assert len(resolve_prepared(tmp_path)) == len(resolve_prepared(tmp_path / "train")) == 3
    kept = (tmp_path / "train-00001-of-00003.parquet").read_bytes()
    (tmp_path / "train-00001-of-00003.parquet").unlink()
    for path in (tmp_path, tmp_path / "train", tmp_path / "train.parquet"):
        with pytest.raises(DataError, match=r"train-00001-of-00003\.parquet is missing: 3 shards belong"):
            resolve_prepared(path)
    (tmp_path / "train-00001-of-00003.parquet").write_bytes(kept)
    for name in ("train.parquet", "train-00000-of-00002.parquet"):
        (tmp_path / name).write_bytes(kept)
        with pytest.raises(DataError, match="are two writings of the same rows"):
            resolve_prepared(tmp_path)
        (tmp_path / name).unlink()

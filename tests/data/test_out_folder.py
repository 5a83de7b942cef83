"""What a folder of rows may become: the same rows anew, and never those of others, nor a raw file less."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.conftest import TOY, toy_record, write_jsonl
from verl_coder.data import LoadOptions, take_folder, write_rows
from verl_coder.data import prepare as prepare_module
from verl_coder.data.out_folder import OutFolder, own_outputs
from verl_coder.data.prepare import PrepareOptions
from verl_coder.data.sources import find_files
from verl_coder.data.terminal import show_prepare
from verl_coder.errors import ConfigError, DataError, FileWriteError
from verl_coder.problems import AssertTests, Problem

ROW = Problem(
    data_source="other",
    problem_id="other/1",
    prompt=({"role": "user", "content": "Add."},),
    tests=AssertTests(tests=("assert f(1) == 1",)),
    split="test",
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def raw(path: Path, count: int = 30) -> Path:
    return write_jsonl(path, [toy_record(n) for n in range(count)])


@pytest.mark.parametrize("name", ["train.parquet", "validation-00000-of-00001.parquet", "test.parquet"])
@pytest.mark.parametrize("through_link", [False, True])
def test_no_raw_file_is_overwritten_or_removed(
    prepare_toy, tmp_path: Path, name: str, through_link: bool
) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([toy_record(n) for n in range(30)]), folder / name)
    before, source = contents(folder), folder
    if through_link:
        source = tmp_path / "link"
        source.symlink_to(folder)
    for replaces in (False, True):
        with pytest.raises(ConfigError, match=r"^--out .*parquet is the file of --source, too: give it a"):
            prepare_toy(source / name, folder, replace=replaces)
    assert contents(folder) == before


def test_what_was_written_beside_the_raw_file_is_no_raw_data(prepare_toy, tmp_path: Path) -> None:
    folder = raw(tmp_path / "raw" / "toy.jsonl").parent
    first = prepare_toy(folder, folder)
    again = prepare_toy(folder, folder)
    assert again.rows_read == first.rows_read == 30 and again.rejections == again.passed_over == []
    card = json.loads((folder / "card.json").read_text())
    assert [file["file"] for file in card["source_files"]] == ["toy.jsonl"]
    assert folder / "train.parquet" in own_outputs(folder)
    # Killed before its card was whole:
    (folder / "card.json").write_text(json.dumps({"dataset": "toy", "options": {}}))
    assert [file.path.name for file in find_files(str(folder), TOY.source("all"))] == ["toy.jsonl"]


@pytest.mark.parametrize("there", ["dataset", "source", "mix", "without a card", "raw"])
def test_rows_of_others_stay_unless_replaced(prepare_toy, tmp_path: Path, there: str) -> None:
    out, source = tmp_path / "out", raw(tmp_path / "one.jsonl")
    if there == "source":
        prepare_toy(raw(tmp_path / "another.jsonl", 29), out)
    elif there == "raw":
        out.mkdir()
        pq.write_table(pa.Table.from_pylist([toy_record(1)]), out / "train.parquet")
    else:
        write_rows([ROW], out / "test.parquet")
        card = {"dataset": {"dataset": "other"}, "mix": {"mix": {"a": 1.0}}}.get(there)
        if card:
            (out / "card.json").write_text(json.dumps(card))
    before = contents(out)
    with pytest.raises(DataError, match=r"^--out .* holds .*: name another folder, or add --replace$"):
        prepare_toy(source, out)
    assert contents(out) == before
    result = prepare_toy(source, out, replace=True)
    assert sum(file.rows for file in result.files) == 30
    assert not (out / "test.parquet").exists()
    prepare_toy(source, out)


def test_the_same_source_is_prepared_again_with_other_options_and_by_another_path(
    prepare_toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = raw(tmp_path / "raw" / "one.jsonl")
    prepare_toy(source)
    prepare_toy(source, limit=20, seed=1, load={"protocol": "none"})
    monkeypatch.chdir(source.parent)
    prepare_toy("one.jsonl")
    raw(source, 40)  # has grown
    prepare_toy("../raw/one.jsonl")
    shutil.copy(source, tmp_path / "copy.jsonl").rename(tmp_path / "one.jsonl")  # the same bytes elsewhere
    assert prepare_toy(tmp_path / "one.jsonl").rows_read == 40


def test_each_file_that_goes_is_named(
    prepare_toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "raw", tmp_path / "out"
    raw(folder / "toy-train.jsonl")
    write_jsonl(folder / "toy-test.jsonl", [toy_record(100)])
    prepare_toy(folder, out, rows_per_shard=100)
    gone = [out / f"{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")]
    assert all(path.exists() for path in gone)
    (folder / "toy-test.jsonl").unlink()
    load = LoadOptions(variant="all")
    show_prepare(TOY, PrepareOptions(out=out, load=load, source=str(folder), verify=None))
    said = capsys.readouterr().err
    assert not any(path.exists() for path in gone)
    assert all(f"removed {path}, of an earlier run" in said for path in gone)


def test_a_run_that_is_killed_among_its_files_can_be_run_again(
    prepare_toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = raw(tmp_path / "one.jsonl"), tmp_path / "out"
    with monkeypatch.context() as patch:

        def killed(*arguments: object) -> None:
            raise FileWriteError(28, "No space left on device", "card.json")

        patch.setattr(prepare_module, "write_card", killed)
        with pytest.raises(FileWriteError):
            prepare_toy(source, out)
    assert (out / "train.parquet").exists()
    assert sum(file.rows for file in prepare_toy(source, out).files) == 30


def test_a_dataset_without_records_takes_a_folder_that_is_empty_or_its_own(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    take_folder(own, "other", {"seed": 0})
    write_rows([ROW], own / "train.parquet")
    take_folder(own, "other", {"seed": 1})
    assert json.loads((own / "card.json").read_text())["options"] == {"seed": 1}
    (own / "card.json").unlink()  # as older versions left it
    take_folder(own, "other", {})
    write_rows([ROW], other / "train.parquet")
    with pytest.raises(DataError, match=r"holds train\.parquet, and no card\.json says"):
        take_folder(other, "sample", {})
    assert not (other / "card.json").exists()


def test_a_card_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    write_rows([ROW], tmp_path / "train.parquet")
    (tmp_path / "card.json").write_text("{")
    folder = OutFolder(path=tmp_path, card={"mix": {}}, is_own=lambda card: True)
    with pytest.raises(DataError, match=r"no card\.json says that they are its own: name another folder"):
        folder.check()

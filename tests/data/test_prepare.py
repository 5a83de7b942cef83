"""Preparing a dataset: bad input is named and the rest goes on, splits are stable, bytes repeat."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.conftest import TOY, toy_record, write_jsonl
from verl_coder.data import LoadOptions
from verl_coder.data.prepare import PrepareOptions
from verl_coder.data.terminal import show_prepare
from verl_coder.errors import DataError
from verl_coder.problems import ROW_SCHEMA, Problem


def read(folder: Path, split: str) -> list[Problem]:
    path = folder / f"{split}.parquet"
    return [Problem.from_row(row) for row in pq.read_table(path).to_pylist()] if path.exists() else []


def rejected(folder: Path) -> list[dict]:
    return pq.read_table(folder / "rejected.parquet").to_pylist()


def hidden_leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_each_bad_row_is_named_and_the_rest_is_written(prepare_toy, tmp_path: Path) -> None:
    no_text = {k: v for k, v in toy_record(3).items() if k != "text"}
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(1), toy_record(2, tests=[]), no_text, [1]])
    with path.open("a") as stream:
        stream.write(json.dumps(toy_record(1)) + "\n" + json.dumps(toy_record(5, id="x")) + "\n")
        stream.write(json.dumps(toy_record(6)) + "\n" + '{"id": 7, "text": "cut o')
    result = prepare_toy(path)
    assert sum(file.rows for file in result.files) == 2
    found = {row["place"]: (row["reason"], row["message"]) for row in rejected(tmp_path / "out")}
    assert found["train.jsonl:2"] == ("no_tests", "the record has no tests")
    assert "column 'text' is missing; the columns are code, id" in found["train.jsonl:3"][1]
    assert "not a JSON object but list" in found["train.jsonl:4"][1]
    assert found["train.jsonl:5"][0] == "duplicate_id"
    assert "column 'id'" in found["train.jsonl:6"][1] and "'x'" in found["train.jsonl:6"][1]
    assert "not JSON" in found["train.jsonl:8"][1]
    assert len(found) == 6


def test_strict_stops_at_the_first_bad_row_and_leaves_nothing(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(1), toy_record(2, tests=[]), toy_record(3)])
    with pytest.raises(DataError, match=r"^train\.jsonl:2: the record has no tests$"):
        prepare_toy(path, strict=True)
    assert not (tmp_path / "out").exists()


def test_a_source_without_any_usable_row_is_an_error_and_older_files_stay(
    prepare_toy, tmp_path: Path
) -> None:
    good = write_jsonl(tmp_path / "good" / "train.jsonl", [toy_record(n) for n in range(9)])
    prepare_toy(good)
    before = (tmp_path / "out" / "train.parquet").read_bytes()
    bad = write_jsonl(good, [{"question": "?"}, {"question": "!"}])
    with pytest.raises(
        DataError, match=r"none of the 2 records is usable; the first, train\.jsonl:1: column"
    ):
        prepare_toy(bad)
    assert (tmp_path / "out" / "train.parquet").read_bytes() == before
    assert hidden_leftovers(tmp_path / "out") == []


def test_a_run_that_writes_nothing_leaves_what_was_rejected_before(prepare_toy, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "train.jsonl", [toy_record(1), {"question": "?"}])
    prepare_toy(source)
    before = rejected(tmp_path / "out")
    write_jsonl(source, [])
    with pytest.raises(DataError, match="the source is empty"):
        prepare_toy(source)
    assert rejected(tmp_path / "out") == before
    write_jsonl(source, [toy_record(1)])
    prepare_toy(source)
    assert not (tmp_path / "out" / "rejected.parquet").exists()


def test_a_wrong_source_name_says_what_it_may_be(prepare_toy) -> None:
    with pytest.raises(DataError, match=r"'no-such\.jsonl' is neither a file, nor a folder, nor a hub name"):
        prepare_toy("no-such.jsonl")


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "json", "parquet"])
def test_every_file_format_gives_the_same_rows(prepare_toy, tmp_path: Path, form: str) -> None:
    records = [toy_record(n) for n in range(20)]
    path = tmp_path / f"data.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif form == "json":
        path.write_text(json.dumps(records, indent=2))
    elif form == "jsonl.gz":
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    else:
        write_jsonl(path, records)
    prepare_toy(path)
    ids = {p.problem_id for split in ("train", "validation") for p in read(tmp_path / "out", split)}
    assert ids == {f"toy/{n}" for n in range(20)}


@pytest.mark.parametrize("form", ["jsonl.gz", "json", "parquet"])
def test_a_damaged_file_keeps_what_can_be_read_and_names_itself(
    prepare_toy, tmp_path: Path, form: str
) -> None:
    records = [toy_record(n) for n in range(2000)]
    path = tmp_path / f"data.{form}"
    if form == "json":
        path.write_text(json.dumps(records)[:-3000])
    elif form == "jsonl.gz":
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode())[:-2000])
    else:
        pq.write_table(pa.Table.from_pylist(records), path)
        path.write_bytes(path.read_bytes()[:-2000])
    if form == "parquet":  # its index is at the end
        with pytest.raises(DataError, match=r"data\.parquet: not a readable Parquet file"):
            prepare_toy(path)
        return
    result = prepare_toy(path)
    assert sum(file.rows for file in result.files) > 100
    [fault] = [row for row in rejected(tmp_path / "out") if row["reason"] == "cut_off"]
    assert fault["place"].startswith(f"data.{form}")


def test_a_folder_is_read_by_its_file_names_and_test_rows_are_held_out(prepare_toy, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    write_jsonl(folder / "toy-train.jsonl", [toy_record(n) for n in range(30)])
    write_jsonl(folder / "toy-test.jsonl", [toy_record(n) for n in range(100, 105)])
    prepare_toy(folder)
    assert {p.problem_id for p in read(tmp_path / "out", "test")} == {f"toy/{n}" for n in range(100, 105)}


def test_the_folders_name_tells_the_split_where_the_files_does_not(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "copy" / "test" / "part-0.jsonl", [toy_record(n) for n in range(5)])
    for place, source in enumerate((path, path.parent, tmp_path / "copy" / "train" / ".." / "test")):
        (tmp_path / "copy" / "train").mkdir(exist_ok=True)
        prepare_toy(source, tmp_path / str(place))
        assert len(read(tmp_path / str(place), "test")) == 5
    own = write_jsonl(tmp_path / "copy" / "test" / "toy-train.jsonl", [toy_record(n) for n in range(5)])
    prepare_toy(own, tmp_path / "own")
    assert read(tmp_path / "own", "test") == []


def test_what_a_folder_holds_and_nobody_reads_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    write_jsonl(folder / "toy-test.jsonl", [toy_record(1)])
    write_jsonl(folder / "card.json", [])
    (folder / "toy-train.jsonl.gz").write_bytes(gzip.compress(json.dumps(toy_record(2)).encode()))
    options = PrepareOptions(
        out=tmp_path / "out", load=LoadOptions(variant="all"), source=str(folder), verify=None
    )
    result = show_prepare(TOY, options)
    assert result.passed_over == [folder / "toy-train.jsonl.gz"]
    assert f"warning: {folder}/toy-train.jsonl.gz was not read" in capsys.readouterr().err


def test_a_file_that_is_cut_off_is_no_bad_record_like_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([toy_record(n) for n in range(9)])[:-40])
    load = LoadOptions(variant="all")
    show_prepare(TOY, PrepareOptions(out=tmp_path / "out", load=load, source=str(path), verify=None))
    said = capsys.readouterr().err
    assert "warning: data.json[8]: not JSON from here on" in said and "what stands behind it is lost" in said


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_value_that_cannot_be_read_costs_its_own_row(prepare_toy, tmp_path: Path, form: str) -> None:
    table = pa.Table.from_pylist([toy_record(n) for n in range(150)])
    texts = [text.encode() for text in table["text"].to_pylist()]
    texts[70] = b"\xff\xfe"
    damaged = pa.Array.from_buffers(pa.string(), 150, pa.array(texts, pa.binary()).buffers())
    table = table.set_column(table.schema.get_field_index("text"), "text", damaged)
    path = tmp_path / f"data.{form}"
    if form == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    prepare_toy(path)
    assert [row["place"] for row in rejected(tmp_path / "out")] == [f"data.{form}[70]"]
    assert sum(len(read(tmp_path / "out", split)) for split in ("train", "validation")) == 149


def test_a_problem_keeps_its_split_when_the_dataset_grows_or_is_reordered(
    prepare_toy, tmp_path: Path
) -> None:
    records = [toy_record(n) for n in range(300)]
    prepare_toy(write_jsonl(tmp_path / "a.jsonl", records[:100]), tmp_path / "a")
    prepare_toy(write_jsonl(tmp_path / "b.jsonl", records[::-1]), tmp_path / "b")
    small = {p.problem_id for p in read(tmp_path / "a", "validation")}
    large = {p.problem_id for p in read(tmp_path / "b", "validation")}
    assert small == {problem for problem in large if int(problem.split("/")[1]) < 100}
    assert 0.12 < len(large) / 300 < 0.28
    prepare_toy(tmp_path / "b.jsonl", tmp_path / "c", seed=1)
    assert {p.problem_id for p in read(tmp_path / "c", "validation")} != large


def test_records_of_one_group_are_in_one_split(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(n, group=f"toy/g{n // 3}") for n in range(90)])
    prepare_toy(path)
    groups = [{p.group for p in read(tmp_path / "out", split)} for split in ("train", "validation")]
    assert groups[0] and groups[1] and not groups[0] & groups[1] and len(groups[0] | groups[1]) == 30


def test_the_same_command_gives_the_same_bytes(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(n) for n in range(50)] + [{"id": 1}])
    prepare_toy(path, tmp_path / "a")
    prepare_toy(path, tmp_path / "b")
    for name in ("train.parquet", "validation.parquet", "rejected.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_difficulty_words_become_three_levels_and_can_be_chosen(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(n) for n in range(9)])
    prepare_toy(path)
    found = {p.problem_id: p.difficulty for s in ("train", "validation") for p in read(tmp_path / "out", s)}
    assert [found[f"toy/{n}"] for n in range(3)] == ["easy", "medium", "hard"]
    prepare_toy(path, difficulty="hard", limit=2)
    kept = [p for split in ("train", "validation") for p in read(tmp_path / "out", split)]
    assert sorted(p.problem_id for p in kept) == ["toy/2", "toy/5"]


def test_a_difficulty_that_no_row_has_is_answered_with_those_there_are(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(n) for n in range(4)] + [{}])
    with pytest.raises(DataError, match=r"difficulty 'hardd', there are 2 easy, 1 hard, 1 medium"):
        prepare_toy(path, difficulty="hardd")


def test_only_the_visible_tests_are_in_the_prompt(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(n) for n in range(9)])
    prepare_toy(path, load={"visible_tests": 1})
    for problem in read(tmp_path / "out", "train"):
        shown = "\n".join(message["content"] for message in problem.prompt)
        assert problem.tests.tests[0] in shown and problem.tests.tests[1] not in shown


def test_every_file_has_the_one_schema_and_the_card_tells_its_hash(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(n) for n in range(30)] + [{}])
    result = prepare_toy(path, rows_per_shard=10)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert [file["sha256"] for file in card["files"]] == [file.sha256 for file in result.files]
    assert card["counts"]["read"] == 31 and card["counts"]["rejected"] == {"bad_row": 1}
    assert card["options"]["load"]["protocol"] == "tool" and card["versions"]["pyarrow"] == pa.__version__
    for file in result.files:
        assert pq.read_schema(file.path).equals(ROW_SCHEMA)
    assert any("-00001-of-" in file.path.name for file in result.files)


def limits(folder: Path, split: str) -> dict[str, float | None]:
    return {problem.problem_id: problem.tests.timeout_s for problem in read(folder, split)}


def test_the_time_limit_for_training_is_in_training_rows_alone(prepare_toy, tmp_path: Path) -> None:
    records = [toy_record(n, timeout_s=(0, 7.5)[n % 2]) for n in range(60)]
    folder = tmp_path / "raw"
    write_jsonl(folder / "train.jsonl", records[:50])
    write_jsonl(folder / "test.jsonl", records[50:])
    result = prepare_toy(folder, train_time_limit_s=2.5)
    out = tmp_path / "out"
    assert set(limits(out, "train").values()) == {2.5}
    for split in ("validation", "test"):
        held_out = limits(out, split)
        assert held_out == {f"toy/{n}": (None, 7.5)[n % 2] for n in range(60) if f"toy/{n}" in held_out}
        assert set(held_out.values()) == {None, 7.5}
    card = json.loads((out / "card.json").read_text())
    assert card["options"]["train_time_limit_s"] == 2.5
    assert card["counts"]["train_time_limited"] == result.time_limited == len(limits(out, "train"))


def test_a_row_whose_own_limit_is_shorter_keeps_it(prepare_toy, tmp_path: Path) -> None:
    records = [toy_record(n, timeout_s=(0.5, 2.0, 0)[n]) for n in range(3)]
    path = write_jsonl(tmp_path / "train.jsonl", records)
    result = prepare_toy(path, train_time_limit_s=1.0, validation_fraction=0.0)
    assert limits(tmp_path / "out", "train") == {"toy/0": 0.5, "toy/1": 1.0, "toy/2": 1.0}
    assert result.time_limited == 2


def test_a_time_limit_that_is_no_shorter_than_the_graders_changes_no_byte(
    prepare_toy, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(n, timeout_s=0) for n in range(20)])
    prepare_toy(path, tmp_path / "without")
    prepare_toy(path, tmp_path / "with", train_time_limit_s=10.0)
    assert (tmp_path / "with" / "train.parquet").read_bytes() == (
        tmp_path / "without" / "train.parquet"
    ).read_bytes()
    assert set(limits(tmp_path / "with", "train").values()) == {None}


def test_loading_has_three_seconds_more_than_a_test_in_training_rows(prepare_toy, tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "train.jsonl", [toy_record(n, timeout_s=(0, 0.5)[n % 2]) for n in range(20)]
    )
    prepare_toy(path, train_time_limit_s=2.0)
    out = tmp_path / "out"
    assert {problem.tests.load_timeout_s for problem in read(out, "train")} == {5.0}
    assert {problem.tests.load_timeout_s for problem in read(out, "validation")} == {None}


@pytest.mark.parametrize("limit_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_limit_that_is_none_is_refused(prepare_toy, tmp_path: Path, limit_s: float) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(1)])
    with pytest.raises(DataError, match=r"^--train-time-limit is .*: use a finite number above 0$"):
        prepare_toy(path, train_time_limit_s=limit_s)
    assert not (tmp_path / "out").exists()


def test_a_share_of_the_training_rows_is_posed_as_stubs_and_no_other_row(prepare_toy, tmp_path: Path) -> None:
    records = [toy_record(n) for n in range(80)]
    records[3]["tests"] = ["assert f(1) > 0"]  # which no docstring can say
    folder = tmp_path / "raw"
    write_jsonl(folder / "train.jsonl", records[:70])
    write_jsonl(folder / "test.jsonl", records[70:])
    plain, half, all_of_them = (
        prepare_toy(folder, tmp_path / str(share), train_stubs=share) for share in (0.0, 0.5, 1.0)
    )

    def stubs(share: float, split: str = "train") -> set[str]:
        return {one.problem_id for one in read(tmp_path / str(share), split) if one.starter_code}

    assert plain.stubs == 0 and stubs(0.0) == set()
    assert stubs(0.5) < stubs(1.0) and 15 < half.stubs == len(stubs(0.5)) < 45
    whole = {one.problem_id for one in read(tmp_path / "1.0", "train")}
    assert all_of_them.stubs == len(stubs(1.0)) and stubs(1.0) == whole - {"toy/3"}
    assert json.loads((tmp_path / "0.5" / "card.json").read_text())["counts"]["train_stubs"] == half.stubs
    for split in ("validation", "test"):
        assert (tmp_path / "1.0" / f"{split}.parquet").read_bytes() == (
            tmp_path / "0.0" / f"{split}.parquet"
        ).read_bytes()
    grown = [*records[:70], *(toy_record(n) for n in range(80, 90))]
    write_jsonl(folder / "train.jsonl", grown[::-1])
    prepare_toy(folder, tmp_path / "grown", train_stubs=0.5)
    again = {one.problem_id for one in read(tmp_path / "grown", "train") if one.starter_code}
    assert again & whole == stubs(0.5)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_stubs_that_is_none_is_refused(prepare_toy, tmp_path: Path, share: float) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", [toy_record(1)])
    with pytest.raises(DataError, match=r"^--train-stubs is .*: use a number from 0 to 1$"):
        prepare_toy(path, train_stubs=share)

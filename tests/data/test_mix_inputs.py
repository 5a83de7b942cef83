"""What a mix compares and refuses: twins in other words, rows of others, places that are no mix's."""

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.conftest import write_jsonl
from verl_coder.data import write_rows
from verl_coder.data.mix import MixOptions, mix, parse_rate_range, parse_shares
from verl_coder.data.terminal import show_mix
from verl_coder.errors import ConfigError, DataError
from verl_coder.problems import ROW_SCHEMA, AssertTests, Problem

STATEMENTS = ("Add all numbers of a list.", "Find the longest word.", "Tell whether a text is a palindrome.")


def problem(name: str, statement: str, **changes: Any) -> Problem:
    values = {
        "data_source": "toy",
        "problem_id": name,
        "prompt": ({"role": "user", "content": statement},),
        "tests": AssertTests(tests=("assert f(1) == 1",)),
        "split": "train",
        "reference_solution": f"def f(x):\n    return x  # {name}\n",
        **changes,
    }
    return Problem(**values)


def mixed(data: Path, **changes: Any) -> MixOptions:
    return replace(MixOptions(shares={"a": 1.0}, data=data, out=data / "mix", decontaminate=True), **changes)


def ids(folder: Path, split: str = "train") -> set[str]:
    rows = pq.read_table(folder / f"{split}.parquet").to_pylist()
    return {row["extra_info"]["problem_id"] for row in rows}


@pytest.mark.parametrize(
    ("mine", "twin", "kind"),
    [
        ({"group": "toy/7"}, {"group": "toy/7"}, "group"),
        ({"problem_id": "toy/7"}, {"group": "toy/7"}, "group"),
        (
            {"reference_solution": "def f(x):\n    return x\n"},
            {"reference_solution": "def f(x):\r\n\r\n    return x"},
            "reference",
        ),
    ],
    ids=["one group", "the group is the other's id", "one reference"],
)
@pytest.mark.parametrize("place", ["test", "validation"])
def test_a_twin_of_a_held_out_problem_in_other_words_is_a_repeat(
    tmp_path: Path, mine: dict[str, Any], twin: dict[str, Any], kind: str, place: str
) -> None:
    write_rows([problem("held", STATEMENTS[0], **mine)], tmp_path / "a" / f"{place}.parquet")
    others = [problem("twin", STATEMENTS[1], **twin), problem("other", STATEMENTS[2])]
    write_rows(others, tmp_path / "a" / "train.parquet")
    result = mix(mixed(tmp_path))
    assert [(one.pair.key, one.pair.kind) for one in result.overlaps] == [("twin", kind)]
    assert result.overlaps[0].against == ("held_out" if place == "test" else "mix")
    assert ids(tmp_path / "mix") == {"other"}


def test_rows_without_a_reference_are_no_repeats_for_that(tmp_path: Path) -> None:
    rows = [problem(str(number), text, reference_solution="") for number, text in enumerate(STATEMENTS)]
    write_rows(rows, tmp_path / "a" / "train.parquet")
    assert mix(mixed(tmp_path)).overlaps == []


def test_of_two_twins_the_one_with_a_wanted_pass_rate_stays(tmp_path: Path) -> None:
    write_rows(
        [problem(name, STATEMENTS[0]) for name in ("first", "second")], tmp_path / "a" / "train.parquet"
    )
    rates = write_jsonl(
        tmp_path / "rates.jsonl",
        [{"problem_id": "first", "pass_rate": 1.0}, {"problem_id": "second", "pass_rate": 0.5}],
    )
    result = mix(mixed(tmp_path, pass_rates=rates, train_pass_rate=parse_rate_range("0.2-0.8", "--x")))
    assert ids(tmp_path / "mix") == {"second"} and (result.outside, result.dropped) == (1, 0)


def test_it_is_said_what_was_compared_and_that_nothing_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(
        [problem("one", STATEMENTS[0]), problem("two", STATEMENTS[0])], tmp_path / "a" / "train.parquet"
    )
    show_mix(mixed(tmp_path))
    said = capsys.readouterr().err
    assert "warning: compared with no held-out problem" in said and "a held-out problem:" not in said
    held_out = tmp_path / "a" / "test.parquet"
    write_rows([problem("three", STATEMENTS[1])], held_out)
    show_mix(mixed(tmp_path))
    said = capsys.readouterr().err
    assert f"compared with {held_out}" in said and "warning" not in said and "0 repeat a held-out" in said


def test_a_dataset_that_has_nothing_to_mix_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows([problem("one", STATEMENTS[0])], tmp_path / "a" / "train.parquet")
    write_rows([problem("two", STATEMENTS[1])], tmp_path / "b" / "test.parquet")
    show_mix(mixed(tmp_path, shares={"a": 1.0, "b": 1.0}))
    said = capsys.readouterr().err
    assert "warning: b has no train or validation file: nothing of it is in the mix" in said
    assert said.count("warning") == 1
    with pytest.raises(DataError, match="none of b has a train or validation file"):
        mix(mixed(tmp_path, shares={"b": 1.0}, out=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_mix_takes_the_place_of_a_mix_and_of_no_other_rows(tmp_path: Path) -> None:
    write_rows([problem("one", STATEMENTS[0])], tmp_path / "a" / "train.parquet")
    write_rows([problem("two", STATEMENTS[1])], tmp_path / "b" / "train.parquet")
    before = (tmp_path / "b" / "train.parquet").read_bytes()
    for card in (None, {"dataset": "b"}):
        if card:
            (tmp_path / "b" / "card.json").write_text(json.dumps(card))
        with pytest.raises(DataError, match=r"holds train\.parquet, .*: name another folder, or remove it"):
            mix(mixed(tmp_path, out=tmp_path / "b"))
    assert (tmp_path / "b" / "train.parquet").read_bytes() == before
    mix(mixed(tmp_path))
    made = mix(mixed(tmp_path, shares={"b": 1.0}))
    assert ids(tmp_path / "mix") == {"two"} and made.removed == []
    # Rows that another command has put in the place of the mix are its own, whatever the mix has left there.
    (tmp_path / "mix" / "card.json").write_text(json.dumps({"dataset": "b"}))
    assert (tmp_path / "mix" / "overlaps.jsonl").exists()
    with pytest.raises(DataError, match=r"train\.parquet, which is of the dataset b: name another"):
        mix(mixed(tmp_path))


@pytest.mark.parametrize("option", ["against", "pass_rates"])
def test_a_mix_overwrites_no_file_that_it_reads(tmp_path: Path, option: str) -> None:
    write_rows([problem("one", STATEMENTS[0])], tmp_path / "a" / "train.parquet")
    mix(mixed(tmp_path))
    before = (tmp_path / "mix" / "train.parquet").read_bytes()
    path = tmp_path / "mix" / "train.parquet"
    with pytest.raises(ConfigError, match=r"^--out .*train\.parquet is the file of --.*: give it a place"):
        mix(mixed(tmp_path, **{option: path if option == "pass_rates" else (path,)}))
    assert path.read_bytes() == before


def test_a_mix_that_leaves_no_row_for_a_split_removes_its_file_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows([problem("one", STATEMENTS[0])], tmp_path / "a" / "train.parquet")
    write_rows([problem("two", STATEMENTS[1])], tmp_path / "a" / "validation.parquet")
    write_rows([problem("three", STATEMENTS[2])], tmp_path / "b" / "train.parquet")
    show_mix(mixed(tmp_path))
    show_mix(mixed(tmp_path, shares={"b": 1.0}))
    gone = tmp_path / "mix" / "validation.parquet"
    assert not gone.exists() and f"removed {gone}, of an earlier run" in capsys.readouterr().err


def test_a_share_without_a_name_is_refused() -> None:
    with pytest.raises(DataError, match=r"--mix '=0\.5': name the dataset"):
        parse_shares("=0.5")


def without_id(row: dict[str, Any]) -> None:
    row["extra_info"]["problem_id"] = None


def without_the_column_of_ids(row: dict[str, Any]) -> None:
    del row["extra_info"]["problem_id"]


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update({name: None})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_id, "problem_id is None; give it a text"),
        (without_the_column_of_ids, "problem_id is None; give it a text"),
        (without("extra_info"), "problem_id is None; give it a text"),
        (without("prompt"), "prompt is None; give it a message of the user"),
        (without("reward_model"), "another type"),
    ],
    ids=["null id", "no id", "null extra_info", "null prompt", "null reward_model"],
)
def test_a_row_of_others_that_is_none_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    rows = [problem(str(number), text).to_row() for number, text in enumerate(STATEMENTS)]
    change(rows[1])
    path = tmp_path / "a" / "train.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match=f"row 1: .*{words}") as caught:
        mix(mixed(tmp_path))
    assert "\n" not in str(caught.value) and not (tmp_path / "mix").exists()


def test_nulls_of_others_are_what_is_not_said_and_other_types_are_named(tmp_path: Path) -> None:
    row = problem("one", STATEMENTS[0]).to_row()
    row["extra_info"] |= dict.fromkeys(("reference_solution", "starter_code", "entry_point", "difficulty"))
    path = tmp_path / "a" / "train.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist([row], schema=ROW_SCHEMA), path)
    mix(mixed(tmp_path))
    [made] = pq.read_table(tmp_path / "mix" / "train.parquet").to_pylist()
    assert Problem.from_row(made) == problem("one", STATEMENTS[0], reference_solution="")
    row = problem("one", STATEMENTS[0]).to_row()
    row["extra_info"]["difficulty"] = 5
    pq.write_table(pa.Table.from_pylist([row]), path)
    with pytest.raises(DataError, match="a row has a value of another type than its column"):
        mix(mixed(tmp_path))


def test_tests_of_others_that_are_objects_become_text(tmp_path: Path) -> None:
    row = problem("one", STATEMENTS[0]).to_row()
    row["reward_model"]["ground_truth"] = json.loads(row["reward_model"]["ground_truth"])
    path = tmp_path / "a" / "train.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist([row]), path)
    mix(mixed(tmp_path))
    [made] = pq.read_table(tmp_path / "mix" / "train.parquet").to_pylist()
    assert Problem.from_row(made).tests == problem("one", "").tests


def test_columns_of_others_are_left_out_whatever_their_type(tmp_path: Path) -> None:
    write_rows([problem("a/0", STATEMENTS[0])], tmp_path / "a" / "train.parquet")
    path = tmp_path / "a" / "train.parquet"
    table = pq.read_table(path)
    times = pa.array([datetime.datetime(2026, 1, 1)])
    info = table.column("extra_info").combine_chunks()
    names = [*(field.name for field in info.type), "made"]
    both = pa.StructArray.from_arrays([*info.flatten(), times], names=names)
    table = table.set_column(table.column_names.index("extra_info"), "extra_info", both)
    pq.write_table(table.append_column("made", times), path)
    mix(mixed(tmp_path))
    assert pq.read_schema(tmp_path / "mix" / "train.parquet").equals(ROW_SCHEMA)
    assert ids(tmp_path / "mix") == {"a/0"}

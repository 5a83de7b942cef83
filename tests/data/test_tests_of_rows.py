"""What is verified and planned is what the row gives back, and tests that no row can hold cost one record."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.data.conftest import write_jsonl
from verl_coder.data import RowError
from verl_coder.data.dataset import LoadOptions, load_dataset_file
from verl_coder.data.prepare import PrepareOptions, prepare
from verl_coder.data.tests_of_rows import as_read
from verl_coder.problems import FunctionCase, FunctionTests, StdioCase, StdioTests, parse_test_suite


def calls(*values: Any) -> FunctionTests:
    return FunctionTests(
        entry_point="f", tests=tuple(FunctionCase(args=(value,), expected=value) for value in values)
    )


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_keys_keep_their_order_from_the_record_to_the_row_and_back() -> None:
    tests = calls({"b": {"z": 1, "y": 2}, "a": 2})
    read = parse_test_suite(tests.to_json())
    assert read == tests and list(read.tests[0].args[0]) == ["b", "a"]  # type: ignore[attr-defined]
    assert list(read.tests[0].args[0]["b"]) == ["z", "y"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "read"), [((1, (2,)), [1, [2]]), ({1: 2}, {"1": 2}), ({"b": (1,), "a": 0}, {"b": [1], "a": 0})]
)
def test_what_is_verified_is_what_the_row_gives_back(value: Any, read: Any) -> None:
    made = as_read(calls(value))
    assert made.tests[0].args == (read,) and made.tests[0].expected == read  # type: ignore[attr-defined]
    assert made.to_json() == calls(value).to_json()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "set is not JSON"),
        (b"x", "bytes is not JSON"),
        (1j, "complex is not JSON"),
        ({(1, 2): 3}, "keys must be str"),
        ({1: 2, "1": 3}, "two keys of an object are one in JSON"),
        (nested(250), "nested too deeply"),
        (nested(900), "recursion"),
    ],
    ids=["set", "bytes", "complex", "tuple key", "two keys", "250 levels", "900 levels"],
)
def test_tests_that_no_row_can_hold_are_one_records_fault(value: Any, words: str) -> None:
    with pytest.raises(RowError, match=f"^a row cannot hold the tests: .*{words}") as caught:
        as_read(calls(value))
    assert caught.value.code == "bad_tests"


def test_texts_come_back_as_they_are() -> None:
    tests = StdioTests(tests=(StdioCase(input="\u2028\ud800\x00", output="\r\n"),))
    assert as_read(tests) == tests


def test_a_record_whose_tests_no_row_can_hold_does_not_stop_the_others(tmp_path: Path) -> None:
    def record(number: int, value: Any) -> dict[str, Any]:
        spec = {"fn_name": "f", "inputs": [[value]], "outputs": [value]}
        return {
            "problem_id": number,
            "question": f"Return it, {number}.",
            "solutions": [],
            "input_output": repr(spec),
        }

    values = ({"b": 1, "a": 2}, {1, 2}, nested(300), [{"d": 1, "c": (2,)}])
    source = write_jsonl(tmp_path / "train.jsonl", [record(*pair) for pair in enumerate(values)])
    options = PrepareOptions(
        out=tmp_path / "out",
        load=LoadOptions(variant="all"),
        source=str(source),
        verify=None,
        validation_fraction=0.0,
    )
    result = prepare(load_dataset_file("apps"), options)  # type: ignore[arg-type]
    assert [rejection.place for rejection in result.rejections] == ["train.jsonl:2", "train.jsonl:3"]
    rows = pq.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    texts = [row["reward_model"]["ground_truth"] for row in rows]
    assert ['"b": 1, "a": 2' in texts[0], '"d": 1, "c": [2]' in texts[1]] == [True, True]

"""The same records in every form in which copies of a dataset hold them: all are read, and what cannot be is named."""

import base64
import datetime
import gzip
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.data import LoadOptions
from verl_coder.data.dataset import load_dataset_file
from verl_coder.data.prepare import PrepareOptions, PrepareResult, prepare
from verl_coder.data.trivial import trivial_solutions
from verl_coder.errors import DataError
from verl_coder.problems import FunctionCase, FunctionTests, Problem, parse_test_suite

APPS = {
    "problem_id": 1,
    "question": "Read n, print n squared.",
    "solutions": '["print(int(input()) ** 2)"]',
    "input_output": '{"inputs": ["3\\n"], "outputs": ["9\\n"]}',
    "difficulty": "interview",
    "starter_code": "",
}
TWO = [APPS, {**APPS, "problem_id": 2}]
LINES = "".join(json.dumps(record) + "\n" for record in TWO)
CODE = {
    "question_id": "x1",
    "question_content": "Square n.",
    "public_test_cases": '[{"input": "2\\n", "output": "4\\n"}]',
    "private_test_cases": '[{"input": "4\\n", "output": "16\\n"}]',
}
POOL = {
    "task_id": "square",
    "prompt": "import math\n",
    "completion": "class Solution:\n    def square(self, n):\n        return n * n\n",
    "entry_point": "Solution().square",
    "test": "def check(candidate):\n    assert candidate(3) == 9\n",
    "problem_description": "Square n.",
}
PYTEST = {
    "question_id": "k1",
    "question": "Square n.",
    "solution": "def square(n):\n    return n * n",
    "test": "from solution import square\ndef test_square():\n    assert square(3) == 9",
}


def read(folder: Path, name: str, source: Path) -> PrepareResult:
    dataset = load_dataset_file(name)
    load = LoadOptions(variant=dataset.default_variant)  # type: ignore[union-attr]
    options = PrepareOptions(out=folder / "out", load=load, source=str(source), verify=None)
    return prepare(dataset, options)  # type: ignore[arg-type]


def kept(folder: Path, name: str, *records: dict[str, Any]) -> tuple[int, int]:
    """(records that became rows, records rejected)."""
    source = folder / "raw.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    result = read(folder, name, source)
    assert not [path for path in (folder / "out").iterdir() if path.name.startswith(".")]
    return sum(file.rows for file in result.files), len(result.rejections)


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        b"\xef\xbb\xbf" + LINES.encode(),
        LINES.replace("\n", "\r\n\r\n").encode(),
        LINES.encode("utf-16"),
        gzip.compress(LINES.encode()),
        gzip.compress(LINES[: len(LINES) // 2].encode()) + gzip.compress(LINES[len(LINES) // 2 :].encode()),
        json.dumps(TWO).encode(),
        b"\xef\xbb\xbf" + json.dumps(TWO, indent=1).encode(),
        "\n".join(json.dumps(record, indent=2) for record in TWO).encode(),
        json.dumps({"data": TWO}).encode(),
        json.dumps({"train": TWO}, indent=1).encode(),
    ],
)
def test_text_in_any_layout_is_read(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "raw.json"
    source.write_bytes(content)
    result = read(tmp_path, "apps", source)
    assert (sum(file.rows for file in result.files), result.rejections) == (2, [])


def test_a_number_of_many_digits_in_an_array_is_read(tmp_path: Path) -> None:
    source = tmp_path / "raw.json"
    source.write_text('[{"note": ' + "7" * 6000 + ", " + json.dumps(APPS)[1:] + "]")
    assert not read(tmp_path, "apps", source).rejections


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_an_arrow_file_is_read_and_what_describes_it_is_not(tmp_path: Path, kind: str) -> None:
    folder, table = tmp_path / "saved", pa.Table.from_pylist(TWO)
    folder.mkdir()
    new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with new(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
        writer.write_table(table)
    for name in ("dataset_info.json", "state.json"):
        (folder / name).write_text("{}")
    result = read(tmp_path, "apps", folder)
    assert (sum(file.rows for file in result.files), result.rejections) == (2, [])


def test_parquet_is_told_by_its_content_and_may_hold_bytes_and_structs(tmp_path: Path) -> None:
    record = {
        name: value.encode() if isinstance(value, str) else value
        for name, value in {**APPS, "input_output": None}.items()
    }
    record["input_output"] = {"inputs": ["3\n"], "outputs": ["9\n"], "fn_name": None}
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "raw.data")
    assert not read(tmp_path, "apps", tmp_path / "raw.data").rejections


@pytest.mark.parametrize("content", [b"PAR1nothing", b"ARROW1nothing", b"\x1f\x8bnothing", b"", b"[]"])
def test_a_file_without_a_record_ends_in_one_line_and_leaves_no_rows(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "raw.jsonl"
    source.write_bytes(content)
    with pytest.raises(DataError) as error:
        read(tmp_path, "apps", source)
    assert "\n" not in str(error.value)
    assert {path.name for path in (tmp_path / "out").glob("*")} <= {"rejected.parquet"}


@pytest.mark.parametrize(
    "change",
    [
        {"starter_code": None},
        {"starter_code": float("nan"), "difficulty": None},
        {"problem_id": "0007"},
        {"input_output": json.loads(APPS["input_output"]), "solutions": json.loads(APPS["solutions"])},
        {"input_output": json.dumps(APPS["input_output"]), "solutions": json.dumps(APPS["solutions"])},
        {"solutions": None},
        {"question": "lone \ud800 surrogate", "solutions": '["print(1) # \\ud800"]'},
    ],
)
def test_a_column_may_be_empty_or_stored_in_another_form(tmp_path: Path, change: dict[str, Any]) -> None:
    assert kept(tmp_path, "apps", {**APPS, **change}) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [{"question": None}, {"input_output": None}, {"input_output": "[1]"}, {"input_output": "[" * 100_000}],
)
def test_a_bad_record_is_named_and_the_good_one_kept(tmp_path: Path, change: dict[str, Any]) -> None:
    assert kept(tmp_path, "apps", {**APPS, **change}, TWO[1]) == (1, 1)


def packed(value: Any, protocol: int = 4) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


CASES = [{"input": "3\n", "output": "9\n"}]


@pytest.mark.parametrize(
    "private",
    [
        packed(json.dumps(CASES)),
        packed(json.dumps(CASES), 0),
        packed(json.dumps(CASES).encode()),
        packed(CASES),
        base64.b64encode(zlib.compress(json.dumps(CASES).encode())).decode(),
        CASES,
        json.dumps(json.dumps(CASES)),
    ],
)
def test_packed_cases_are_read_whatever_was_packed(tmp_path: Path, private: Any) -> None:
    assert kept(tmp_path, "livecodebench", {**CODE, "private_test_cases": private}) == (1, 0)
    row = pq.read_table(tmp_path / "out" / "test.parquet").to_pylist()[0]
    assert len(parse_test_suite(row["reward_model"]["ground_truth"])) == 2


@pytest.mark.parametrize("private", [packed(os.getcwd), packed(CASES)[:30], "?", 5, '["x"]'])
def test_cases_that_cannot_be_read_are_one_bad_row(tmp_path: Path, private: Any) -> None:
    assert kept(
        tmp_path, "livecodebench", {**CODE, "private_test_cases": private}, {**CODE, "question_id": 2}
    ) == (
        1,
        1,
    )


def test_only_a_line_feed_parts_the_arguments_of_a_call(tmp_path: Path) -> None:
    case = {"input": '"a\u2028b"\n' + "9" * 5000, "output": '"\u2028"'}
    cases = {"public_test_cases": "[]", "private_test_cases": json.dumps([case])}
    record = {**CODE, "metadata": '{"func_name": "f"}', **cases}
    assert kept(tmp_path, "livecodebench", record) == (1, 0)


@pytest.mark.parametrize(
    ("name", "record", "change"),
    [
        ("leetcode", POOL, {"tags": "", "task_id": 5}),
        ("leetcode", POOL, {"tags": '["Math"]', "meta": None}),
        ("kodcode", PYTEST, {"test_info": "[]", "question_id": 7}),
        ("kodcode", PYTEST, {"test_info": "", "gpt_difficulty": None}),
    ],
)
def test_lists_may_be_text_and_numbers_names(
    tmp_path: Path, name: str, record: dict[str, Any], change: dict[str, Any]
) -> None:
    assert kept(tmp_path, name, {**record, **change}) == (1, 0)


def test_a_date_may_be_one(tmp_path: Path) -> None:
    record = {**POOL, "estimated_date": datetime.datetime(2024, 8, 4)}
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "raw.parquet")
    assert not read(tmp_path, "leetcode", tmp_path / "raw.parquet").rejections


@pytest.mark.parametrize(
    ("name", "record", "change"),
    [
        ("kodcode", PYTEST, {"test": "from solution import square\ndef test_square(:\n    assert"}),
        ("leetcode", POOL, {"test": "assert square(3) == 9"}),
        ("leetcode", POOL, {"test": "def check(candidate):\n    assert candidate(3 == 9"}),
    ],
)
def test_tests_that_are_no_tests_are_named_without_verification_too(
    tmp_path: Path, name: str, record: dict[str, Any], change: dict[str, Any]
) -> None:
    key = "question_id" if name == "kodcode" else "task_id"
    assert kept(tmp_path, name, {**record, **change}, {**record, key: "other"}) == (1, 1)


def test_a_result_of_many_digits_does_not_end_verification() -> None:
    tests = FunctionTests(entry_point="f", tests=(FunctionCase(args=(), expected=10**6000),))
    problem = Problem(data_source="x", problem_id="x/1", prompt=(), tests=tests, split="train")
    assert dict(trivial_solutions(problem))

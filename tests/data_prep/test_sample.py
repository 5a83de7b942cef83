import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.problems import ROW_SCHEMA, Problem

SCRIPT = Path(__file__).parents[2] / "data_prep" / "sample.py"


def prepare(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "data"
    done = prepare(out, "--train", "60", "--val", "40", "--sft", "25")
    assert done.returncode == 0, done.stderr
    return out


def test_it_writes_three_files_of_the_asked_sizes_and_a_card(prepared):
    card = json.loads((prepared / "card.json").read_text())
    assert card["dataset"] == "sample" and card["options"]["sft"] == 25
    rows = {file.name: pq.read_metadata(file).num_rows for file in prepared.glob("*.parquet")}
    assert rows == {"train.parquet": 60, "validation.parquet": 40, "traces.parquet": 85}


def test_rows_have_the_project_s_schema_and_parse(prepared):
    for name, split in (("train", "train"), ("validation", "test")):
        table = pq.read_table(prepared / f"{name}.parquet")
        for field in table.schema:
            assert field.name not in ROW_SCHEMA.names or field.type == ROW_SCHEMA.field(field.name).type
        problems = [Problem.from_row(row) for row in table.to_pylist()]
        assert {p.split for p in problems} == {split}
        assert all("def check(f):" in p.tool_prelude and len(p.tests) == 6 for p in problems)


def test_no_statement_is_in_both_files(prepared):
    first_line = [
        {row["prompt"][0]["content"].partition("\n")[0] for row in pq.read_table(prepared / name).to_pylist()}
        for name in ("train.parquet", "validation.parquet")
    ]
    assert len(first_line[0]) == 60
    assert not first_line[0] & first_line[1]


def test_every_training_problem_has_a_trace_that_begins_with_its_prompt(prepared):
    traces = {row["problem_id"]: row for row in pq.read_table(prepared / "traces.parquet").to_pylist()}
    assert len(traces) == 85
    for row in pq.read_table(prepared / "train.parquet").to_pylist():
        trace = traces[row["extra_info"]["problem_id"]]
        first = {key: value for key, value in trace["messages"][0].items() if value is not None}
        assert [first] == row["prompt"]
        assert [m["role"] for m in trace["messages"][1:4]] == ["assistant", "tool", "assistant"]


def test_a_repetition_writes_the_same_bytes_and_another_seed_others(prepared, tmp_path):
    arguments = ("--train", "60", "--val", "40", "--sft", "25")
    assert prepare(tmp_path / "again", *arguments).returncode == 0
    assert digests(tmp_path / "again") == digests(prepared)
    assert prepare(tmp_path / "other", *arguments, "--seed", "1").returncode == 0
    assert digests(tmp_path / "other") != digests(prepared)


def test_rows_of_another_dataset_stay(tmp_path):
    row = {"data_source": "mbpp", "prompt": []}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "test.parquet")
    done = prepare(tmp_path, "--train", "8", "--val", "4")
    assert done.returncode == 1 and "holds test.parquet" in done.stderr and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["test.parquet"]


def test_too_many_problems_are_one_clear_line_and_no_file(tmp_path):
    done = prepare(tmp_path / "data", "--train", "5000")
    assert done.returncode == 1
    assert (
        done.stderr.strip() == "error: 5,000 sample problems for training were asked for, and there are 1,240"
    )
    assert not list(tmp_path.glob("data/*.parquet"))

"""`verl-coder grade`: a row and a completion in, a JSON report out."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.errors import ConfigError, DataError
from verl_coder.grading.cli import _read, _row
from verl_coder.grading.report import TestReport, TestResult

ROW = {
    "data_source": "sample",
    "reward_model": {
        "style": "rule",
        "ground_truth": json.dumps(
            {
                "style": "function",
                "entry_point": "f",
                "tests": [{"args": [1], "expected": 2}, {"args": [2], "expected": 3}],
            }
        ),
    },
}


def run(folder, row, completion, *options, url=""):
    (folder / "row.json").write_text(row if isinstance(row, str) else json.dumps(row))
    (folder / "answer.txt").write_text(completion)
    command = [sys.executable, "-m", "verl_coder.cli", "grade"]
    files = ["--problem", str(folder / "row.json"), "--completion", str(folder / "answer.txt")]
    urls = ["--url", url] if url else []
    return subprocess.run([*command, *files, *urls, *options], capture_output=True, text=True, timeout=60)


def test_the_report_is_json_on_stdout(tmp_path, sandbox_url):
    done = run(tmp_path, ROW, "So:\n```python\ndef f(x): return x + 1\n```", url=sandbox_url)
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert {key: report[key] for key in ("outcome", "passed", "total", "pass_rate")} == {
        "outcome": "passed",
        "passed": 2,
        "total": 2,
        "pass_rate": 1.0,
    }
    assert [test["status"] for test in report["tests"]] == ["passed", "passed"]


def test_explain_says_which_test_failed_and_starts_its_own_sandbox(tmp_path):
    done = run(tmp_path, ROW, "def f(x): return 2", "--explain")
    assert json.loads(done.stdout)["passed"] == 1
    assert "test 1: wrong answer" in done.stderr and "expected: 3" in done.stderr and "got: 2" in done.stderr
    assert done.stderr.count("test 1: wrong answer") == 1


def test_on_a_terminal_explain_gives_the_verdict_once(tmp_path, sandbox_url):
    """In words alone, where JSON and words would stand below each other."""
    (tmp_path / "row.json").write_text(json.dumps(ROW))
    (tmp_path / "answer.txt").write_text("def f(x): return 2")
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "verl_coder.cli", "grade", "--explain", "--url", sandbox_url]
    command += ["--problem", str(tmp_path / "row.json"), "--completion", str(tmp_path / "answer.txt")]
    subprocess.run(command, stdout=its, stderr=its, timeout=60, check=True)
    os.close(its)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert shown.count("wrong answer") == 1 and '"outcome"' not in shown


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "row.json:1: not JSON"),
        ({"prompt": []}, "lacks reward_model.ground_truth"),
        ({"reward_model": {"ground_truth": '{"style": "poem"}'}}, "'poem'"),
    ],
)
def test_a_bad_row_is_one_line(tmp_path, row, words):
    done = run(tmp_path, row, "x = 1", url="http://127.0.0.1:9")
    assert done.returncode == 1 and words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_file_is_one_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "verl_coder.cli",
        "grade",
        "--problem",
        str(tmp_path / "no"),
        "--completion",
        "no",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "No such file" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def parquet(tmp_path):
    rows = [{**ROW, "extra_info": {"problem_id": f"sample/{name}"}} for name in ("first", "second")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.mark.parametrize("wanted", ["1", "sample/second"])
def test_a_row_of_a_parquet_file_is_named_by_its_number_or_its_id(parquet, wanted):
    assert _row(Path(f"{parquet}:{wanted}"))["extra_info"]["problem_id"] == "sample/second"


def test_a_number_that_is_also_the_id_of_another_row_is_refused(tmp_path):
    rows = [{**ROW, "extra_info": {"problem_id": name}} for name in ("7", "1", "0")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="row 0 is one problem, and row 2 is that with the id 0"):
        _row(tmp_path / "rows.parquet:0")
    assert _row(tmp_path / "rows.parquet:1")["extra_info"]["problem_id"] == "1"
    assert _row(tmp_path / "rows.parquet:7")["extra_info"]["problem_id"] == "7"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (":sample/secnd", "did you mean sample/second?"),
        (":2", "rows.parquet:0 to .*rows.parquet:1 are its rows"),
        ("", "rows.parquet:0 to .*rows.parquet:1 are its rows"),
    ],
)
def test_a_row_that_is_not_there_is_answered_with_those_that_are(parquet, wanted, words):
    with pytest.raises(DataError, match=words):
        _row(Path(f"{parquet}{wanted}"))


def test_a_row_in_json_may_have_the_other_ending_in_its_path(tmp_path):
    for name in ("rows.parquet.json", "rows.parquet/row.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(ROW))
        assert _row(path) == ROW


def test_a_parquet_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.parquet: no such file"):
        _row(tmp_path / "none.parquet:0")


def test_a_completion_may_come_by_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("def f(x): return x"))
    assert _read(Path("-")) == "def f(x): return x"


def test_words_count_what_was_not_run_and_say_where_the_tests_ran() -> None:
    tests = (TestResult(index=0, status="failed", got="1"), TestResult(index=1, status="not_run"))
    words = TestReport(outcome="failed", passed=0, total=2, tests=tests, strength="pair").explain()
    assert (
        words.splitlines()[0] == "failed: 0 of 2 tests passed (tests and program in sandboxes of their own)"
    )
    assert words.splitlines()[-1] == "not run: 1 test"

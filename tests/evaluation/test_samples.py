"""The journal: what a kill may leave, and what is read back."""

import json
import resource
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.errors import DataError, FileWriteError
from verl_coder.evaluation.samples import EvaluationSample, SampleJournal, read_samples, write_samples


def make_sample(problem: str = "p/1", number: int = 0, **changes: Any) -> EvaluationSample:
    sample = EvaluationSample(
        problem_id=problem, data_source="d", difficulty="easy", tags=["a"], sample=number, prompt="p", output="o",
        code="c", outcome="passed", passed=2, total=2, pass_rate=1.0, tests="[]", tool_calls=0, valid_tool_calls=0,
        turns=1, prompt_tokens=3, response_tokens=4, finish_reason="stop", seconds=0.5,
    )  # fmt: skip
    return replace(sample, **changes)


def test_samples_come_back_from_parquet_as_they_were(tmp_path: Path) -> None:
    samples = [make_sample(output="</script>\x1b[31m\u202e\n" * 1000), make_sample(number=1, tags=[])]
    write_samples(tmp_path / "s.parquet", samples)
    assert read_samples(tmp_path / "s.parquet") == samples


def test_a_torn_last_line_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleJournal(path) as journal:
        journal.add(make_sample(number=0))
        journal.add(make_sample(number=1))
    path.write_bytes(path.read_bytes()[:-5])
    with SampleJournal(path) as journal:
        assert list(journal.samples) == [("p/1", 0)]
        journal.add(make_sample(number=1))
    with SampleJournal(path) as journal:
        assert len(journal.samples) == 2


def test_a_line_of_zeros_after_a_crash_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleJournal(path) as journal:
        journal.add(make_sample(number=0))
    with path.open("ab") as file:
        file.write(b"\0" * 50 + b"\n")
    with SampleJournal(path) as journal:
        journal.add(make_sample(number=1))
        assert len(journal.samples) == 2


def test_the_second_verdict_of_a_sample_counts(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleJournal(path) as journal:
        journal.add(make_sample(outcome="timeout"), provisional=True)
    with SampleJournal(path) as journal:
        assert journal.provisional == {("p/1", 0)}
        journal.add(make_sample(second_try=True))
    with SampleJournal(path) as journal:
        assert journal.provisional == set() and journal.samples["p/1", 0].solved


def test_a_file_that_holds_no_samples_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    path.write_text("not Parquet")
    with pytest.raises(DataError, match=r"samples\.parquet is no samples\.parquet"):
        read_samples(path)


@pytest.mark.parametrize("byte", [b"\r", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\0"])
def test_a_damaged_byte_costs_its_own_line_and_is_named(tmp_path: Path, byte: bytes) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleJournal(path) as journal:
        for number in range(4):
            journal.add(make_sample(number=number))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:20] + byte + lines[1][21:]
    path.write_bytes(b"".join(lines))
    with SampleJournal(path) as journal:
        assert [number for _, number in journal.samples] == [0, 2, 3]
        assert journal.broken_lines == [2]
    assert path.read_bytes() == b"".join(lines)


def test_what_a_later_version_adds_to_a_sample_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    record = {"sample": {**asdict(make_sample()), "new": 1}, "provisional": False}
    path.write_text(json.dumps(record) + "\n")
    with SampleJournal(path) as journal:
        assert len(journal.samples) == 1 and not journal.broken_lines


def test_a_journal_of_another_version_is_refused_and_not_drawn_again(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    values = asdict(make_sample())
    del values["turns"]
    path.write_text(json.dumps({"sample": values, "provisional": False}) + "\n")
    with (
        pytest.raises(DataError, match=r"written by another version of verl-coder \(no 'turns'\)"),
        SampleJournal(path),
    ):
        pass


def test_a_disk_that_is_full_costs_the_sample_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    with SampleJournal(path) as journal:
        journal.add(make_sample(number=0))
        before = path.stat().st_size
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (before + 10, limits[1]))
        try:
            with pytest.raises(FileWriteError, match=r"samples\.jsonl cannot be written"):
                journal.add(make_sample(number=1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert path.stat().st_size == before and len(journal.samples) == 1


def test_a_column_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_samples(path, [make_sample()])
    whole = pq.read_table(path)
    for values, words in (
        (pa.array([[1]]), "cast"),
        (pa.array([None], pa.string()), "1 rows have no outcome"),
    ):
        table = whole.set_column(whole.column_names.index("outcome"), "outcome", values)
        pq.write_table(table, path)
        with pytest.raises(DataError, match=rf"samples\.parquet is no samples\.parquet .*{words}"):
            read_samples(path)


@pytest.mark.parametrize("changes", [{"pass_rate": "x"}, {"passed": None}, {"tags": "easy"}, {"sample": 0.5}])
def test_a_line_with_a_value_of_another_type_holds_no_sample(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "samples.jsonl"
    lines = [asdict(make_sample()) | changes, asdict(make_sample(number=1))]
    path.write_text("".join(json.dumps({"sample": one, "provisional": False}) + "\n" for one in lines))
    with SampleJournal(path) as journal:
        assert journal.broken_lines == [1] and list(journal.samples) == [("p/1", 1)]

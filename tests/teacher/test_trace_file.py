"""The files beside a file of traces."""

from pathlib import Path

from verl_coder.teacher.attempt_journal import journal_path
from verl_coder.teacher.generate import statistics_path
from verl_coder.teacher.options import GenerateOptions


def _beside(out: str) -> list[str]:
    path = Path("runs") / out
    options = GenerateOptions(problems=(Path("p.parquet"),), out=path, base_url=(), model="m")
    files = [journal_path(path), statistics_path(path), options.journal_path]
    assert all(file.parent == path.parent for file in files)
    return [file.name for file in files]


def test_traces_of_two_names_share_no_file() -> None:
    assert _beside("t.parquet") == ["t.attempts.jsonl", "t.statistics.json", "t.journal.jsonl"]
    assert _beside("v1.0") == ["v1.0.attempts.jsonl", "v1.0.statistics.json", "v1.0.journal.jsonl"]
    assert not set(_beside("v1.0")) & set(_beside("v1.1"))
    assert not set(_beside("v1.0.parquet")) & set(_beside("v1.1.parquet"))

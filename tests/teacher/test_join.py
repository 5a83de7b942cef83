"""`verl-coder teacher join` keeps every trace of every file, once."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.errors import ConfigError, DataError
from verl_coder.teacher.join import join_traces
from verl_coder.teacher.trace_file import write_traces
from verl_coder.traces import read_traces


def _row(problem_id: str, answer: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Add one."}, {"role": "assistant", "content": answer}]
    return {"problem_id": problem_id, "messages": messages, "source": "x", **more}


def _file(path: Path, *rows: dict[str, Any], further: Any = ()) -> Path:
    write_traces(rows, path, further=further)
    return path


def test_all_traces_stand_in_the_new_file_in_their_order_with_all_columns(tmp_path: Path) -> None:
    first = _file(tmp_path / "1.parquet", _row("a", "one"), _row("b", "two"))
    agent = (("agent_name", pa.string()),)
    second = _file(tmp_path / "2.parquet", _row("a", "three", agent_name="tool_agent"), further=agent)
    report = join_traces([first, second], tmp_path / "all.parquet")
    assert (report.traces, report.problems, report.repeated) == (3, 2, 0)
    found = read_traces(tmp_path / "all.parquet")
    assert [trace.messages[-1]["content"] for trace in found] == ["one", "two", "three"]
    assert [trace.agent_name for trace in found] == ["", "", "tool_agent"]
    assert pq.read_schema(tmp_path / "all.parquet").names == [
        "problem_id",
        "messages",
        "source",
        "agent_name",
    ]


def test_a_trace_that_two_files_have_is_kept_once_and_counted(tmp_path: Path) -> None:
    first = _file(tmp_path / "1.parquet", _row("a", "one"))
    second = _file(tmp_path / "2.parquet", _row("a", "one", source="y"), _row("b", "one"))
    report = join_traces([first, second, first], tmp_path / "all.parquet")
    assert (report.kept, report.repeated) == ({first: 1, second: 1}, 2)


def test_messages_with_other_fields_are_joined_too(tmp_path: Path) -> None:
    first = _file(tmp_path / "1.parquet", _row("a", "one"))
    thinking = [
        {"role": "user", "content": "Add one."},
        {"role": "assistant", "content": "two", "reasoning_content": "Easy."},
    ]
    second = tmp_path / "2.parquet"
    pq.write_table(pa.Table.from_pylist([{"problem_id": "b", "messages": thinking}]), second)
    join_traces([first, second], tmp_path / "all.parquet")
    one, two = read_traces(tmp_path / "all.parquet")
    assert (one, two) == (*read_traces(first), *read_traces(second))


def test_columns_of_two_kinds_are_one_line_that_names_the_file(tmp_path: Path) -> None:
    first = _file(tmp_path / "1.parquet", _row("a", "one"))
    second = tmp_path / "2.parquet"
    rows = [{"problem_id": "b", "messages": _row("b", "two")["messages"], "source": [1]}]
    pq.write_table(pa.Table.from_pylist(rows), second)
    with pytest.raises(DataError, match=r"2\.parquet has a column of another kind") as caught:
        join_traces([first, second], tmp_path / "all.parquet")
    assert "\n" not in str(caught.value) and not (tmp_path / "all.parquet").exists()


def test_a_file_that_is_joined_is_not_written_over(tmp_path: Path) -> None:
    first = _file(tmp_path / "1.parquet", _row("a", "one"))
    with pytest.raises(ConfigError, match="--out"):
        join_traces([first], first)


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    first = _file(tmp_path / "1.parquet", _row("a", "one"))
    with pytest.raises(DataError, match="no such file"):
        join_traces([first, tmp_path / "none.parquet"], tmp_path / "all.parquet")


def test_the_same_trace_of_files_with_other_columns_is_one(tmp_path: Path) -> None:
    """A weight of 1 is none, and a field that is not set is not there."""
    first = _file(tmp_path / "1.parquet", _row("a", "one"))
    messages = [dict(message) for message in _row("a", "one")["messages"]]
    messages[-1] |= {"weight": 1.0, "reasoning_content": None}
    rows = [{"problem_id": "a", "messages": messages}]
    second = tmp_path / "2.parquet"
    pq.write_table(pa.Table.from_pylist(rows), second)
    assert join_traces([first, second], tmp_path / "all.parquet").repeated == 1


def test_a_column_that_must_not_be_null_may_lack_in_another_file(tmp_path: Path) -> None:
    first = tmp_path / "1.parquet"
    table = pa.Table.from_pylist([{**_row("a", "one"), "score": 1.0}])
    required = [field.with_nullable(field.name != "score") for field in table.schema]
    pq.write_table(table.cast(pa.schema(required)), first)
    second = _file(tmp_path / "2.parquet", _row("b", "two"))
    assert join_traces([first, second], tmp_path / "all.parquet").traces == 2

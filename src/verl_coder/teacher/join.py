"""`verl-coder teacher join`: several files of traces as one, for instance the same problems posed in two forms."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.consoles import PlainConsole
from verl_coder.data.prepared import whole_pages
from verl_coder.errors import DataError
from verl_coder.files import keep_apart, whole_file
from verl_coder.trace_messages import is_learnt
from verl_coder.traces import Trace, read_traces
from verl_coder.words import counted

_ARGUMENT = "traces"


@dataclass(kw_only=True)
class JoinReport:
    """What a file of joined traces is made of."""

    kept: dict[Path, int] = field(default_factory=dict)
    repeated: int = 0
    """Traces that stand in an earlier row, word for word and for the same problem: left out."""
    problems: int = 0

    @property
    def traces(self) -> int:
        """All rows of the file."""
        return sum(self.kept.values())


def join_traces(files: Sequence[Path], out: Path) -> JoinReport:
    """Write the traces of all `files` to `out`, in their order, with all their columns; each once.

    DataError where a file or a row is none that can be learnt from, or a column is of two kinds; ConfigError where
    `out` is one of the files. Nothing is written then.
    """
    keep_apart({"--out": out}, {_ARGUMENT: files})
    read = [_read(path) for path in files]
    schema = _schema(files, [table for _, table in read])
    report, rows, seen = JoinReport(), list[dict[str, Any]](), set[str]()
    for path, (traces, table) in zip(files, read, strict=True):
        before = len(rows)
        for trace, row in zip(traces, table.to_pylist(), strict=True):
            text = _text(trace)
            if text in seen:
                report.repeated += 1
            else:
                seen.add(text)
                rows.append(row)
        report.kept[path] = report.kept.get(path, 0) + len(rows) - before
    report.problems = len({row["problem_id"] for row in rows if row["problem_id"]})
    with whole_file(out) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")
    return report


def show_join(files: Sequence[Path], out: Path) -> JoinReport:
    """Join the files and say what of each is in the new one."""
    report = join_traces(files, out)
    console = PlainConsole(stderr=True)
    for path, kept in report.kept.items():
        console.print(f"{path}: {counted(kept, 'trace')}", soft_wrap=True, highlight=False)
    left_out = f", {counted(report.repeated, 'repeated one')} left out" if report.repeated else ""
    console.print(
        f"{out}: {counted(report.traces, 'trace')} of {counted(report.problems, 'problem')}{left_out}",
        soft_wrap=True,
        highlight=False,
    )
    return report


def _read(path: Path) -> tuple[list[Trace], pa.Table]:
    """The whole file, and its rows as they are learnt."""
    traces = read_traces(path, option=_ARGUMENT)
    with whole_pages(f"{_ARGUMENT}: {path}"):
        return traces, pq.read_table(path)


def _schema(files: Sequence[Path], tables: Sequence[pa.Table]) -> pa.Schema:
    """All columns, and all fields of their structs."""
    schema = _open(tables[0].schema)
    for path, table in zip(files[1:], tables[1:], strict=True):
        try:
            schema = pa.unify_schemas([schema, _open(table.schema)], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{_ARGUMENT}: {path} has a column of another kind than the files before it ({reason}): "
                "leave the column out of one of them"
            ) from error
    return schema


def _open(schema: pa.Schema) -> pa.Schema:
    """Without metadata, and every column may be missing in another file."""
    return pa.schema([field.with_nullable(True) for field in schema])


def _text(trace: Trace) -> str:
    """What two traces have in common that are learnt alike."""
    messages = [{**message, "weight": int(is_learnt(message))} for message in trace.messages]
    return json.dumps([trace.problem_id, trace.agent_name, messages], sort_keys=True)

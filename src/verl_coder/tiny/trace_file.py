"""The tiny problems' traces as the Parquet file that the three-source update reads."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.files import whole_file
from verl_coder.tiny.traces import SampleTrace

TRACE_SCHEMA = pa.schema(
    [
        ("problem_id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("source", pa.string()),
    ]
)


def write_trace_rows(traces: Iterable[SampleTrace], path: Path) -> int:
    """Write traces to `path`, whole or not at all; returns how many."""
    rows = [
        {"problem_id": t.problem.problem_id, "messages": list(t.messages), "source": "sample-teacher"}
        for t in traces
    ]
    with whole_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=TRACE_SCHEMA), temporary, compression="zstd")
    return len(rows)

"""The tiny problems' traces as the Parquet file that the three-source update reads."""

from collections.abc import Iterable
from pathlib import Path

from verl_coder.teacher.trace_file import write_traces
from verl_coder.tiny.traces import SampleTrace


def write_trace_rows(traces: Iterable[SampleTrace], path: Path) -> int:
    """Write traces to `path`, whole or not at all; returns how many."""
    rows = [
        {"problem_id": t.problem.problem_id, "messages": list(t.messages), "source": "sample-teacher"}
        for t in traces
    ]
    return write_traces(rows, path)

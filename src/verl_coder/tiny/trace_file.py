"""The tiny problems' traces as the Parquet file that the three-source update reads."""

from collections.abc import Iterable
from pathlib import Path

from verl_coder.teacher.trace_file import write_traces
from verl_coder.tiny.problems import SampleProblem
from verl_coder.tiny.traces import write_traces as trace_problems


def write_sample_traces(
    problems: Iterable[SampleProblem], path: Path, *, seed: int, direct_share: float
) -> int:
    """Write a careful teacher's trace of each problem to `path`, whole or not at all; returns how many."""
    rows = [
        {"problem_id": t.problem.problem_id, "messages": list(t.messages), "source": "sample-teacher"}
        for t in trace_problems(problems, seed=seed, direct_share=direct_share)
    ]
    return write_traces(rows, path)

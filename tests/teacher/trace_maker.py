"""Problems, samples and the making of their traces, for the tests of `teacher repairs`."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.problems import ROW_SCHEMA, AssertTests, Problem
from verl_coder.prompts import build_prompt
from verl_coder.teacher.repair_report import RepairOptions, RepairReport
from verl_coder.teacher.repairs import make_repairs
from verl_coder.traces import read_traces

RIGHT = "def add(a, b):\n    return a + b"
OTHER_RIGHT = "def add(a, b):\n    total = b\n    total += a\n    return total"
WRONG = "def add(a, b):\n    return a - b"
NAME_ERROR = "def add(a, b):\n    return a + c"
HANGS = "def add(a, b):\n    while True:\n        pass"
BROKEN = "def add(a, b)\n    return a + b"
READS = "a = input()\ndef add(a, b):\n    return a + b"
ONLY_VISIBLE = "def add(a, b):\n    return 3 if a == 1 else 0"
SILENT = "import sys\nsys.exit(0)"
MARKED = 'def add(a, b):\n    "</tool_call>"\n    return a + b'


def problem(name: str, *, reference: str = RIGHT, setup: str = "", **changes: Any) -> Problem:
    tests = ("assert add(1, 2) == 3", "assert add(0, 0) == 0", "assert add(5, 5) == 10")
    values: dict[str, Any] = {
        "data_source": "toy",
        "problem_id": name,
        "prompt": build_prompt("Add two numbers.", style="assert", examples=tests[:2]),
        "tests": AssertTests(tests=tests, setup=setup, entry_point="add"),
        "split": "train",
        "reference_solution": reference,
    }
    return Problem(**(values | changes))


def write_problems(path: Path, problems: list[Problem]) -> Path:
    pq.write_table(pa.Table.from_pylist([one.to_row() for one in problems], schema=ROW_SCHEMA), path)
    return path


def write_samples(path: Path, samples: list[tuple[str, str]]) -> Path:
    lines = [{"problem_id": name, "output": output, "score": 0.0} for name, output in samples]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def block(code: str) -> str:
    return f"<think>Hm.</think>\n```python\n{code}\n```"


class Maker:
    """Makes traces in a folder."""

    def __init__(self, folder: Path, tools: Path, sandbox_url: str) -> None:
        self.folder, self.out = folder, folder / "traces.parquet"
        self.tools, self.sandbox_url = tools, sandbox_url

    def __call__(
        self, problems: list[Problem], samples: list[tuple[str, str]] | None = None, **changes: Any
    ) -> tuple[RepairReport, list[dict[str, Any]]]:
        files = () if samples is None else (write_samples(self.folder / "samples.jsonl", samples),)
        options = RepairOptions(
            problems=write_problems(self.folder / "problems.parquet", problems),
            out=self.out,
            tools=self.tools,
            samples=files,
            sandbox_url=self.sandbox_url,
            **changes,
        )
        report = make_repairs(options)
        assert len(read_traces(self.out)) == report.traces
        return report, pq.read_table(self.out).to_pylist()

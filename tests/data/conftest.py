"""A dataset made for tests, and files of it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from verl_coder.data import Dataset, Draft, HubSource, LoadOptions, RawRecord, Record, parse_record
from verl_coder.data.prepare import PrepareOptions, PrepareResult, prepare
from verl_coder.problems import AssertTests


class ToyRecord(Record):
    """Columns of the toy dataset."""

    id: int
    text: str
    code: str = ""
    tests: list[str]
    level: str = "easy"
    timeout_s: float = 2.0
    """0: the tests have no limit of their own."""
    group: str = ""


def toy_draft(raw: RawRecord, split: str, options: LoadOptions) -> Draft:
    record = parse_record(ToyRecord, raw)
    return Draft(
        problem_id=f"toy/{record.id}",
        statement=record.text,
        tests=(AssertTests(tests=tuple(record.tests), entry_point="f", timeout_s=record.timeout_s or None),),
        references=(record.code,),
        split="test" if split == "test" else None,
        difficulty=record.level,
        entry_point="f",
        examples=tuple(record.tests[: options.visible_tests]),
        group=record.group,
    )


TOY = Dataset(
    name="toy",
    license="MIT",
    sources={"all": HubSource(repo="nobody/toy", patterns=("*train.jsonl", "*test.jsonl"))},
    to_draft=toy_draft,
)


def toy_record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "text": f"Write a function that adds {number} to a number of kind {number * 7919}.",
        "code": f"def f(x):\n    return x + {number}\n",
        "tests": [f"assert f({k}) == {k + number}" for k in range(2)],
        "level": ("introductory", "Medium", "competition")[number % 3],
        **changes,
    }


def write_jsonl(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def prepare_toy(tmp_path: Path) -> Callable[..., PrepareResult]:
    """Prepare the toy dataset, without verification unless asked for."""

    def run(source: Path | str, out: Path | None = None, **choices: Any) -> PrepareResult:
        load = LoadOptions(variant="all", **choices.pop("load", {}))
        choices.setdefault("verify", None)
        return prepare(
            TOY, PrepareOptions(out=out or tmp_path / "out", load=load, source=str(source), **choices)
        )

    return run


@pytest.fixture
def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid

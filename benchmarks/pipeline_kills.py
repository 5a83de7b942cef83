"""Kill (-9) a pipeline once in each of its tasks, and hold its files against those of an undisturbed one.

    python benchmarks/pipeline_kills.py --config config/pipeline/tiny.yaml --out outputs/kills

Two pipelines with the same seed: OUT/undisturbed, and OUT/killed, which is started, killed in the first task that has
not been killed yet, started again, and so on to the end. Prints a JSON line for each kill, and one for each task: which
of its files are equal to the last byte, and for Parquet files that are not, in which columns they differ.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from verl_coder.errors import VerlCoderError
from verl_coder.pipeline.records import TaskRecord, read_record

_SOON_S = 0.3


def main(
    config: Annotated[Path, typer.Option(help="YAML of the pipeline.")],
    out: Annotated[Path, typer.Option(help="Folder for both pipelines.")],
    stages: Annotated[str, typer.Option(help="Stages to run, separated by spaces.")] = "all",
) -> None:
    """Run both, and print what differs."""
    undisturbed, killed = out.resolve() / "undisturbed", out.resolve() / "killed"
    out.mkdir(parents=True, exist_ok=True)
    status, _ = _start(config, undisturbed, stages.split(), lambda: False)
    if status:
        raise VerlCoderError(f"the undisturbed pipeline failed (see {undisturbed}/logs)")
    tasks = [task["task"] for task in json.loads((undisturbed / "pipeline.json").read_text())["tasks"]]
    for task in tasks:
        status, shown = _start(config, killed, stages.split(), partial(_in_the_middle, killed, task))
        repeated = [line.split()[0] for line in shown.splitlines() if line.split()[1:2] == ["run"]]
        print(
            json.dumps({"killed_in": task, "status": status, "tasks_run_by_this_start": repeated}), flush=True
        )
    status, shown = _start(config, killed, stages.split(), lambda: False)
    print(json.dumps({"last_start": status, "shown": shown.splitlines()[-3:]}), flush=True)
    for task in tasks:
        compared = _compared(task, _record(undisturbed, task), _record(killed, task))
        differ = [name for name in compared["differ"] if name.endswith(".parquet")]
        columns = {name: _columns_that_differ(undisturbed / name, killed / name) for name in differ}
        print(json.dumps(compared | ({"columns": columns} if columns else {})), flush=True)


def _start(config: Path, out: Path, stages: list[str], when: Callable[[], bool]) -> tuple[int, str]:
    """One start, killed when `when` says so; its exit status and what it showed."""
    command = [sys.executable, "-m", "verl_coder.cli", "pipeline", "--config", str(config), "--out", str(out)]
    words = out.with_suffix(".txt")
    with words.open("w") as file:
        process = subprocess.Popen(
            [*command, "--ignore-code", *stages],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "160"},
        )
        while process.poll() is None:
            if when():
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.02)
        process.wait()
    return process.returncode, words.read_text()


def _in_the_middle(out: Path, task: str) -> bool:
    """Whether the task has begun, has not ended, and has got somewhere."""
    try:
        record = read_record(out / "stages", task)
    except VerlCoderError:
        return False
    if record is None or record.finished:
        return False
    marks = {
        "sft": out / "sft" / "sft.log",
        "train": out / "train" / "checkpoints" / "latest_checkpointed_iteration.txt",
    }
    if task.startswith("evaluate/") and task != "evaluate/compare":
        marks[task] = out / task / "samples.jsonl"
    if task in marks:
        return marks[task].is_file() and marks[task].stat().st_size > 0
    time.sleep(_SOON_S)
    return True


def _record(out: Path, task: str) -> TaskRecord:
    record = read_record(out / "stages", task)
    assert record is not None
    return record


def _compared(task: str, one: TaskRecord, other: TaskRecord) -> dict[str, Any]:
    """Files of a task in both pipelines: equal, different, or in one of them only."""
    names = one.products.keys() | other.products.keys()
    differ = sorted(name for name in names if one.products.get(name) != other.products.get(name))
    return {
        "task": task,
        "finished": other.finished,
        "starts": other.starts,
        "equal": len(names) - len(differ),
        "differ": differ[:5],
        "seconds": [one.seconds, other.seconds],
    }


def _columns_that_differ(one: Path, other: Path) -> dict[str, int]:
    """Columns of two tables whose rows stand in one order, and the rows that differ."""
    tables = [pd.read_parquet(path).map(str) for path in (one, other)]
    if [*tables[0]] != [*tables[1]] or len(tables[0]) != len(tables[1]):
        return {"rows or columns": abs(len(tables[0]) - len(tables[1]))}
    counts = (tables[0] != tables[1]).sum()
    return {name: int(count) for name, count in counts.items() if count}


if __name__ == "__main__":
    typer.run(main)

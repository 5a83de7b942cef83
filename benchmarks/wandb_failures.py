"""A W&B server that hangs, refuses and cuts: seconds a step beside offline, and what a later push brings.

python benchmarks/wandb_failures.py [--steps 12] [--repeats 1] [--out FOLDER]

Trains `recipes/tiny_cpu`, made small, offline and then online against a scripted server on loopback, which hangs from
the start, answers HTTP 500 from a third of the steps on, and cuts its answers from two thirds on. Then the server is
well and `verl-coder wandb push` sends what it lacks. One JSON line; exit status 1 where a step is missing, twice, out
of order or has other values on the server than in metrics.jsonl. About two minutes for each run on 2 cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from small_run import SmallRun

from verl_coder.run.sync_state import SyncState

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from tracking.wandb_server import WandbServer, wandb_server

MODES = ("hang", "refuse", "cut")


def main() -> None:
    """Run both and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, help="keep the runs here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.out or Path(scratch)).resolve()
        for repeat in range(options.repeats):
            result = measure(folder / str(repeat), options.steps)
            print(json.dumps(result), flush=True)
            if result["failures"]:
                sys.exit(1)


def measure(folder: Path, steps: int) -> dict[str, object]:
    """Both runs and the push."""
    offline, online = SmallRun(folder / "offline", steps), SmallRun(folder / "online", steps)
    started = time.perf_counter()
    offline.finish(WANDB_MODE="offline")
    between = time.perf_counter()
    with wandb_server() as server:
        environment = {
            "WANDB_MODE": "online",
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": "0" * 40,
            "WANDB_ENTITY": "tests",
        }
        train_against(server, online, steps, environment)
        ended = time.perf_counter()
        before_push = len(server.history(run_id(online)))
        server.mode = "ok"
        push = subprocess.run(
            [sys.executable, "-m", "verl_coder.cli", "wandb", "push", str(online.run_dir.path)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        failures = differences(server, online, steps) + ([push.stderr] if push.returncode else [])
    return {
        "benchmark": "wandb_failures",
        "steps": steps,
        "step_s": {name: statistics.median(run.step_s()) for name, run in both(offline, online)},
        "all_step_s": {name: run.step_s() for name, run in both(offline, online)},
        "wall_s": {"offline": round(between - started, 1), "online": round(ended - between, 1)},
        "steps_at_the_server_before_push": before_push,
        "push": push.stdout.strip().splitlines()[-1:],
        "failures": failures,
    }


def both(offline: SmallRun, online: SmallRun) -> tuple[tuple[str, SmallRun], tuple[str, SmallRun]]:
    """With their names."""
    return ("offline", offline), ("online", online)


def train_against(server: WandbServer, run: SmallRun, steps: int, environment: dict[str, str]) -> None:
    """The run, while the server fails in one way after the other."""
    server.mode = MODES[0]
    process = run.start(**environment)
    while process.poll() is None:
        done = max(run.steps(), default=0)
        server.mode = MODES[min(done * len(MODES) // steps, len(MODES) - 1)]
        time.sleep(0.2)
    run.end(process)


def run_id(run: SmallRun) -> str:
    """The W&B run of a folder."""
    state = SyncState.load(run.run_dir.sync_state)
    assert state is not None
    return state.run_id


def differences(server: WandbServer, run: SmallRun, steps: int) -> list[str]:
    """Where the server's history is not the run's."""
    rows = server.history(run_id(run))
    found = [] if run.steps() == list(range(steps + 1)) else [f"metrics.jsonl holds steps {run.steps()}"]
    if [row["_step"] for row in rows] != list(range(steps + 1)):
        return [*found, f"the server has steps {[row['_step'] for row in rows]}"]
    for row, record in zip(rows, run.run_dir.read_metrics(), strict=True):
        # Not a number is equal to nothing, itself included.
        numbers = {name: value for name, value in record["data"].items() if value == value}
        other = [name for name, value in numbers.items() if row.get(name) != value]
        found += [f"step {record['step']}: {len(other)} values differ, {other[0]} first"] if other else []
    return found


if __name__ == "__main__":
    main()

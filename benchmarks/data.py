"""Preparing data: MB/s and peak memory against the `datasets` JSON builder, problems verified per second.

python benchmarks/data.py [--megabytes 200] [--problems 200] [--verified-megabytes 0]

One JSON line per measurement. `ratio` is ours over the alternative of the same run: the JSON builder of
`datasets` with a `map` to the same columns, and one plain `python` process per problem (no isolation).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_BUILDER = """
import json, sys
import datasets
def to_row(r):
    io = json.loads(r["input_output"])
    tests = [{"input": i, "output": o} for i, o in zip(io["inputs"], io["outputs"])]
    return {"prompt": [{"role": "user", "content": r["question"]}],
            "ground_truth": json.dumps({"style": "stdio", "tests": tests})}
data = datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2] + "/cache")
data.map(to_row, remove_columns=data.column_names).to_parquet(sys.argv[2] + "/train.parquet")
"""


def main() -> None:
    """Run both measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--verified-megabytes", type=int, default=0, help="0 leaves this one out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.megabytes:
            measure_reading(Path(folder), options.megabytes)
        if options.problems:
            measure_verification(Path(folder), options.problems)
        if options.verified_megabytes:
            measure_verified_memory(Path(folder), options.verified_megabytes)


def measure_reading(folder: Path, megabytes: int) -> None:
    """APPS-like rows of 20 kB to 3 MB through `prepare`, and through the JSON builder of `datasets`."""
    source = folder / "train.jsonl"
    write_apps(source, megabytes * 2**20)
    size_mb = source.stat().st_size / 2**20
    script = folder / "builder.py"
    script.write_text(_BUILDER)
    (folder / "builder").mkdir()
    ours = timed(
        [*cli("prepare", "apps"), "--source", str(source), "--out", str(folder / "ours"), "--no-verify"]
    )
    theirs = timed([sys.executable, str(script), str(source), str(folder / "builder")])
    for name, (wall_s, peak_mb) in {"prepare": ours, "datasets_json_builder": theirs}.items():
        report(name, mb=round(size_mb), wall_s=wall_s, mb_per_s=size_mb / wall_s, peak_mb=peak_mb)
    report("prepare_over_builder", speed_ratio=theirs[0] / ours[0], memory_ratio=ours[1] / theirs[1])


def measure_verification(folder: Path, problems: int) -> None:
    """MBPP-like problems: two graded runs and the trivial solutions each, and one plain process each."""
    source = folder / "mbpp.jsonl"
    records = [mbpp_record(number) for number in range(problems)]
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    command = [*cli("prepare", "mbpp"), "--source", str(source)]
    read_s, _ = timed([*command, "--out", str(folder / "read"), "--no-verify"])
    first_s, _ = timed([*command, "--out", str(folder / "verified")])
    again_s, _ = timed([*command, "--out", str(folder / "verified")])
    started = time.perf_counter()
    for record in records:
        program = "\n".join([record["code"], *record["test_list"]])
        subprocess.run([sys.executable, "-c", program], check=True)
    plain_s = time.perf_counter() - started
    verify_s = first_s - read_s
    report("verify", problems=problems, wall_s=verify_s, problems_per_s=problems / verify_s)
    report("verify_again_from_cache", problems=problems, wall_s=max(0.0, again_s - read_s))
    report("plain_processes", problems=problems, wall_s=plain_s, problems_per_s=problems / plain_s)
    report("verify_over_plain", speed_ratio=plain_s / verify_s)


def measure_verified_memory(folder: Path, megabytes: int) -> None:
    """Peak memory of `prepare` with every reference run: rows of 3 MB only, so that there are few to run."""
    source = folder / "train.jsonl"
    rows = write_apps(source, megabytes * 2**20, large_every=1)
    size_mb = source.stat().st_size / 2**20
    command = [*cli("prepare", "apps"), "--source", str(source), "--out", str(folder / "verified_apps")]
    wall_s, peak_mb = timed(command)
    card = json.loads((folder / "verified_apps" / "card.json").read_text())
    report(
        "prepare_verified",
        mb=round(size_mb),
        rows=rows,
        passed=card["counts"]["written"],
        wall_s=wall_s,
        peak_mb=peak_mb,
    )


def write_apps(path: Path, target_bytes: int, *, large_every: int = 40) -> int:
    """A file in APPS's columns, with incompressible numbers; every so many rows are of 3 MB. Returns the rows."""
    choose = random.Random(0)
    written = number = 0
    with path.open("w") as stream:
        while written < target_bytes:
            count = 30_000 if number % large_every == 0 else 180
            numbers = [choose.randrange(10**9) for _ in range(count)]
            line = " ".join(map(str, numbers))
            inputs = [f"{k}\n{line}\n" for k in range(10)]
            record = {
                "problem_id": number,
                "question": f"Problem {number}: print k and the sum of the numbers.",
                "solutions": json.dumps(["k = int(input())\nprint(k + sum(map(int, input().split())))"]),
                "input_output": json.dumps(
                    {"inputs": inputs, "outputs": [f"{k + sum(numbers)}\n" for k in range(10)]}
                ),
                "difficulty": "interview",
                "url": "",
                "starter_code": "",
            }
            written += stream.write(json.dumps(record) + "\n")
            number += 1
    return number


def mbpp_record(number: int) -> dict:
    """One MBPP-like record outside of the test ids."""
    return {
        "task_id": 1000 + number,
        "text": f"Write a function to add {number} to a number.",
        "code": f"def add(x):\n  return x + {number}",
        "test_list": [f"assert add({k}) == {k + number}" for k in range(3)],
        "test_setup_code": "",
    }


def cli(*arguments: str) -> list[str]:
    """`verl-coder data ...` of this Python."""
    return [sys.executable, "-m", "verl_coder.cli", "data", *arguments]


def timed(command: list[str]) -> tuple[float, float]:
    """(wall seconds, peak resident MB) of a command that must succeed."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed: {errors[-500:]}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def report(measurement: str, **numbers: float) -> None:
    """Print one JSON line."""
    rounded = {name: round(value, 3) for name, value in numbers.items()}
    print(json.dumps({"benchmark": "data", "measurement": measurement, **rounded}), flush=True)


if __name__ == "__main__":
    main()

"""`verl-coder teacher generate` against a scripted server: throughput, memory, and what faults and kill -9 leave.

python benchmarks/teacher_client.py [--responses 10000] [--in-flight 32 256] [--rate 64]

Throughput: the whole command (journal, grading and all) against a server of as many slots as requests are in flight,
each answer after a fixed latency, which makes --rate (64) a second at best; the share of that ideal between the first
request and the last answer, and the memory of the command when a tenth, a half and all of the answers are in. The
problems are few (40), so that the grader, which would share the cores with the server, has little to do. Faults: 20%
of the answers are 429 (with and without Retry-After), 500, cut connections, torn JSON, no choices or no content; the
command is killed twice with SIGKILL; then every problem must have every sample once, and no more may have been asked
again than was in flight. One JSON line each; exit status 1 where a property does not hold. 3 minutes for each
throughput, one for the faults.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.files import json_lines
from verl_coder.problems import ROW_SCHEMA, AssertTests, Problem
from verl_coder.prompts import build_prompt

SERVER = Path(__file__).resolve().parents[1] / "tests" / "teacher" / "scripted_teacher.py"
PROBLEMS = 40
SAMPLES = 8
"""Of a problem, in the run with faults."""


def main() -> None:
    """Run and print the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--responses", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, nargs="*", default=[32, 256])
    parser.add_argument("--rate", type=float, default=64.0)
    parser.add_argument("--fault-responses", type=int, default=800)
    parser.add_argument("--no-throughput", action="store_true")
    parser.add_argument("--no-faults", action="store_true")
    options = parser.parse_args()
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for in_flight in () if options.no_throughput else options.in_flight:
            folder = Path(scratch) / str(in_flight)
            print(json.dumps(throughput(folder, in_flight, options, failures)), flush=True)
        if not options.no_faults:
            folder = Path(scratch) / "faults"
            print(json.dumps(faults(folder, options.fault_responses, failures)), flush=True)
    sys.exit("; ".join(failures))


def throughput(
    folder: Path, in_flight: int, options: argparse.Namespace, failures: list[str]
) -> dict[str, Any]:
    """One whole command."""
    problems, samples = write_problems(folder, PROBLEMS), options.responses // PROBLEMS
    latency = in_flight / options.rate
    wanted = PROBLEMS * samples
    memory: dict[int, float] = {}
    with server(latency, in_flight) as url:
        process = command(folder, problems, url, in_flight, samples)
        marks = [wanted // 10, wanted // 2, wanted]
        while process.poll() is None:
            time.sleep(0.5)
            served = stats(url)["served"]
            if marks and served >= marks[0]:
                memory[marks.pop(0)] = resident_mb(process.pid) or max(memory.values(), default=0.0)
        found = stats(url)
    rounds = -(-wanted // in_flight)
    ideal = rounds * latency
    share = ideal / found["seconds"]
    if process.returncode or share < 0.95:
        failures.append(f"{in_flight} in flight: status {process.returncode}, {share:.3f} of the ideal")
    return {
        "benchmark": "teacher_throughput",
        "in_flight": in_flight,
        "latency_s": latency,
        "responses": found["served"],
        "ideal_s": round(ideal, 1),
        "seconds": round(found["seconds"], 1),
        "share_of_ideal": round(share, 3),
        "most_in_flight": found["most_in_flight"],
        "resident_mb_at": memory,
        "traces": pq.read_metadata(folder / "traces.parquet").num_rows,
        "load_average": os.getloadavg()[0],
    }


def faults(folder: Path, responses: int, failures: list[str]) -> dict[str, Any]:
    """20% faults, two kills, and a last start that finishes."""
    in_flight = 32
    problems = write_problems(folder, responses // SAMPLES)
    wanted = responses // SAMPLES * SAMPLES
    started = time.perf_counter()
    with server(0.3, in_flight, faults=0.2) as url:
        for share in (0.25, 0.6):
            process = command(folder, problems, url, in_flight, SAMPLES)
            while stats(url)["served"] < share * wanted and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            process.wait()
        process = command(folder, problems, url, in_flight, SAMPLES)
        process.wait()
        found = stats(url)
    samples = Counter(
        (entry["key"], entry["sample"])
        for entry in json_lines(folder / "traces.journal.jsonl")
        if entry["type"] == "reply"
    )
    told = json.loads((folder / "traces.statistics.json").read_text())
    lost, twice = wanted - len(samples), sum(count > 1 for count in samples.values())
    again = found["served"] - wanted
    if process.returncode or lost or twice or again > 2 * in_flight or told["samples"] != wanted:
        failures.append(
            f"faults: status {process.returncode}, {lost} lost, {twice} twice, {again} asked again"
        )
    return {
        "benchmark": "teacher_faults",
        "wanted": wanted,
        "kills": 2,
        "faults": found["faults"],
        "in_journal": len(samples),
        "lost": lost,
        "twice": twice,
        "asked_again": again,
        "in_flight": in_flight,
        "samples_told": told["samples"],
        "seconds": round(time.perf_counter() - started, 1),
    }


def write_problems(folder: Path, count: int) -> Path:
    """Problems that the scripted server knows: to add a number."""
    folder.mkdir(parents=True)
    rows = [
        Problem(
            data_source="sums",
            problem_id=f"sums/{number}",
            prompt=build_prompt(
                f"Write a function add_{number} that adds {number}.",
                style="assert",
                protocol="none",
                examples=[f"assert add_{number}(1) == {1 + number}"],
            ),
            tests=AssertTests(
                tests=(f"assert add_{number}(1) == {1 + number}",), entry_point=f"add_{number}"
            ),
            split="train",
            agent_name="single_turn_agent",
        ).to_row()
        for number in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), folder / "problems.parquet")
    return folder / "problems.parquet"


@contextmanager
def server(latency: float, slots: int, *, faults: float = 0.0) -> Iterator[str]:
    """The scripted server as a process."""
    arguments = ["--latency", str(latency), "--slots", str(slots), "--faults", str(faults)]
    process = subprocess.Popen([sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def command(folder: Path, problems: Path, url: str, in_flight: int, samples: int) -> subprocess.Popen[bytes]:
    """`verl-coder teacher generate` on the problems, its words in a file."""
    arguments = ["--problems", str(problems), "--out", str(folder / "traces.parquet"), "--base-url", url]
    settings = ["--model", "scripted", "--num-samples", str(samples), "--in-flight", str(in_flight)]
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "verl_coder.cli", "teacher", "generate", *arguments, *settings],
            stdout=log,
            stderr=log,
        )


def stats(url: str) -> dict[str, Any]:
    """What the server has served."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=30) as response:
        found: dict[str, Any] = json.load(response)
    return found


def resident_mb(pid: int) -> float:
    """Resident memory of a process, 0 where it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return round(int(found[1]) / 1024, 1) if found else 0.0


if __name__ == "__main__":
    main()

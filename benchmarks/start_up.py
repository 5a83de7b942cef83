"""What a run does before its first step: seconds of each part, and what each process costs.

python benchmarks/start_up.py [--against CHECKOUT] [--repeat 3] [--recipe tiny_cpu] [overrides]

One step of a run without evaluation or checkpoint, `--repeat` times; with --against in turns with the code of another
checkout, in this environment. A table of medians: seconds from the command until each part of the start begins, until
the first step begins and until the command has ended; then of each process that lives when the first step begins its
CPU seconds and the memory that it has for itself (its unique set size). Nothing else may run meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil
from small_run import SmallRun

from verl_coder.launch.processes import role_of
from verl_coder.paths import repository_root
from verl_coder.run.phase import STARTING, Phase

QUIET = (
    "trainer.val_before_train=false",
    "trainer.test_freq=-1",
    "trainer.save_freq=-1",
    "verl_coder.wandb=disabled",
)
FIRST_STEP, END = "the first step", "the end"
IN_ALL = "in all"


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--recipe", default="tiny_cpu")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    checkouts = [repository_root(), *([options.against.resolve()] if options.against else [])]
    seconds: dict[Path, dict[str, list[float]]] = {one: defaultdict(list) for one in checkouts}
    costs: dict[Path, dict[str, list[tuple[float, float]]]] = {one: defaultdict(list) for one in checkouts}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(options.repeat):
            for place, checkout in enumerate(checkouts):
                run = SmallRun(
                    Path(scratch) / f"{number}-{place}",
                    1,
                    [*QUIET, *options.overrides],
                    recipe=options.recipe,
                )
                began, processes = measured(run, checkout)
                for name, value in began.items():
                    seconds[checkout][name].append(value)
                for name, cost in processes.items():
                    costs[checkout][name].append(cost)
                print(
                    json.dumps({"checkout": str(checkout), "seconds": began, "processes": processes}),
                    flush=True,
                )
    for checkout in checkouts:
        print(f"\n{checkout}")
        for name, values in seconds[checkout].items():
            print(f"{statistics.median(values):8.1f} s  {name}")
        for name, pairs in sorted(
            costs[checkout].items(), key=lambda item: -statistics.median(c for c, _ in item[1])
        ):
            cpu, memory = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"{cpu:8.1f} CPU s {memory:8.0f} MiB  {name}")


def measured(run: SmallRun, checkout: Path) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Seconds until each part begins, and of each kind of process (CPU seconds, MiB) when the first step begins."""
    began = time.monotonic()
    launcher = run.start(PYTHONPATH=str(checkout / "src"), VERL_CODER_ROOT=str(checkout))
    parts: dict[str, float] = {}
    processes: dict[str, tuple[float, float]] = {}
    while launcher.poll() is None:
        phase = Phase.read(run.run_dir.phase)
        if phase is not None and FIRST_STEP not in parts:
            part = phase.part if phase.phase == STARTING else FIRST_STEP
            parts.setdefault(part, round(time.monotonic() - began, 1))
            if part == FIRST_STEP:
                processes = costs_below(launcher)
        time.sleep(0.05)
    run.end(launcher)
    parts[END] = round(time.monotonic() - began, 1)
    return parts, processes


def costs_below(launcher: subprocess.Popen[bytes]) -> dict[str, tuple[float, float]]:
    """CPU seconds and MiB of their own, of the launcher and each kind of process below it, and of all."""
    found: dict[str, tuple[float, float]] = {}
    for process in (root := psutil.Process(launcher.pid), *root.children(recursive=True)):
        try:
            command = " ".join(process.cmdline())
            cpu, memory = sum(process.cpu_times()[:2]), process.memory_full_info().uss / 2**20
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        kind = role_of(command) or ("Ray's idle worker" if command.startswith("ray::IDLE") else "others")
        for name in ("launcher" if process.pid == launcher.pid else kind, IN_ALL):
            before = found.get(name, (0.0, 0.0))
            found[name] = (round(before[0] + cpu, 1), round(before[1] + memory, 1))
    return found


if __name__ == "__main__":
    main()

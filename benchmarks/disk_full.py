"""A disk that is full for a while: does the run go on, say so, keep its older checkpoint, and lose no step?

python benchmarks/disk_full.py [--steps 10] [--full-s 20]

Trains `recipes/tiny_cpu`, made small, in a folder on a tmpfs (needs root, for mount). After step 2 is saved, a file
takes all that is left, to the last byte, for `--full-s` seconds; then it goes. One JSON line; exit status 1 where a
property does not hold. About two minutes on 2 cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from small_run import SmallRun

from verl_coder.run.checkpoint_files import is_whole, saved_steps, step_folder
from verl_coder.run.notices import parse_notices

DISK_MIB = 400


def main() -> None:
    """Run and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--full-s", type=float, default=20.0)
    options = parser.parse_args()
    with small_disk() as disk, tempfile.TemporaryDirectory() as terminals:
        result = measure(disk, Path(terminals), options.steps, options.full_s)
    print(json.dumps(result), flush=True)
    sys.exit(bool(result["failures"]))


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of DISK_MIB, in memory."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def measure(disk: Path, terminals: Path, steps: int, full_s: float) -> dict[str, object]:
    """The run, and what it left."""
    run, failures = SmallRun(disk / "run", steps, ["verl_coder.wandb=offline"], terminals=terminals), []
    process = run.start()
    checkpoints = run.run_dir.checkpoints
    while process.poll() is None and run.run_dir.checkpoint_step() < 2:
        time.sleep(0.1)
    before = run.run_dir.checkpoint_step()
    filler = disk / "filler"
    fill(filler)
    full_until, kept = time.monotonic() + full_s, set()
    while process.poll() is None and time.monotonic() < full_until:
        fill(filler)  # what a save that failed gave back
        kept.add(run.run_dir.checkpoint_step())  # raises where it is not whole
        time.sleep(0.05)
    alive = process.poll() is None
    filler.unlink()
    run.end(process)
    told = parse_notices(run.run_dir.notices.read_bytes().splitlines())
    on_terminal = [line for line in run.output.splitlines() if line.startswith("warning:")]
    whole = [step for step in saved_steps(checkpoints) if is_whole(step_folder(checkpoints, step))]
    places = {"metrics.jsonl": run.steps(), "wandb_backup": run.run_dir.backup.steps()}
    failures += [f"{name}: {found}" for name, found in places.items() if found != list(range(steps + 1))]
    failures += [] if alive else ["the run ended while the disk was full"]
    failures += [] if before and before in kept else [f"checkpoint {before} did not stay: {kept}"]
    failures += [] if any("could not be saved" in text for text in told) else ["no warning of a save"]
    failures += [] if on_terminal else ["nothing on the terminal"]
    failures += [] if run.run_dir.checkpoint_step() == steps else ["the last step was not saved"]
    return {
        "benchmark": "disk_full",
        "steps": steps,
        "full_s": full_s,
        "checkpoint_before": before,
        "checkpoints_while_full": sorted(kept),
        "checkpoints_after": whole,
        "step_s": run.step_s(),
        "warnings": told,
        "terminal": on_terminal,
        "failures": failures,
    }


def fill(path: Path) -> None:
    """Append to a file until its file system takes not one byte more."""
    with path.open("ab", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while os.write(file.fileno(), b"\0" * size):
                    pass
            except OSError:
                continue


if __name__ == "__main__":
    main()

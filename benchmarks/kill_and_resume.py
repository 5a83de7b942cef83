"""kill -9 in steps, evaluations and saves: does every resume go on from the last whole checkpoint, losing nothing?

python benchmarks/kill_and_resume.py [--kills 10] [--seed 0] [--steps 24] [--out FOLDER]

Trains `recipes/tiny_cpu`, made small, once undisturbed and once with `--kills` kills at random moments, each followed
by the same command again. A third of the kills waits for an evaluation and a third for a save; the others fall into a
step, and half of those kill only the launcher's process group, so that the next start meets Ray's processes alive.
One JSON line; exit status 1 where a property does not hold (`failures` names it). About 70 s for each start on 2 cores.
"""

import argparse
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from small_run import HELD_OUT, SmallRun, prompts

from verl_coder.launch.leftovers import RUN_MARKER, end_leftovers
from verl_coder.run.checkpoint_files import SAVING, is_whole, saved_steps, step_folder
from verl_coder.run.run_dir import RunDir

OVERRIDES = ("data.train_max_samples=48", "verl_coder.wandb=offline")
"""An epoch is six steps, so that resumes cross its end."""
DELAY_S = {"training": 4.0, "evaluating": 2.0, "saving": 0.05}
"""A kill comes at a random time within so many seconds of the phase's beginning."""
START_TIMEOUT_S = 300.0


def main() -> None:
    """Run both and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--out", type=Path, help="keep the runs here; an undisturbed one there is used again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.out or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(folder, options.kills, options.seed, options.steps)
    print(json.dumps(result), flush=True)
    sys.exit(bool(result["failures"]))


def measure(folder: Path, kills: int, seed: int, steps: int) -> dict[str, object]:
    """The undisturbed run, the killed one, and what they have in common."""
    plain, killed = (SmallRun(folder / name, steps, OVERRIDES) for name in ("undisturbed", "killed"))
    if not plain.run_dir.summary.is_file():
        plain.finish()
    shared_before, started = shared_memory_bytes(), time.perf_counter()
    report = Report()
    choose = random.Random(seed)
    for number, phase in enumerate(plan_kills(kills, choose)):
        if not kill_once(killed, phase, choose, report, only_group=phase == "training" and number % 2 == 1):
            break
        compare_order(plain.run_dir, killed.run_dir, report)
    if not killed.run_dir.summary.is_file():
        expected = killed.run_dir.checkpoint_step()
        killed.finish()
        check_resume(killed, expected, report)
    compare_order(plain.run_dir, killed.run_dir, report, all_of=steps)
    check_metrics(killed, steps, report)
    rates = {"undisturbed": plain.last_rate(), "killed": killed.last_rate()}
    return {
        "benchmark": "kill_and_resume",
        "seed": seed,
        "steps": steps,
        "kills": len(report.moments),
        "phases": dict(Counter(moment["phase"] for moment in report.moments)),
        "with_half_a_checkpoint": sum(moment["half_a_checkpoint"] for moment in report.moments),
        "moments": report.moments,
        "resumed_after": report.resumed_after,
        "pass_rate": rates,
        "standard_error": round(standard_error(rates), 3),
        "wall_s": round(time.perf_counter() - started, 1),
        "shared_memory_left_mib": round((shared_memory_bytes() - shared_before) / 2**20, 1),
        "failures": report.failures,
    }


@dataclass
class Report:
    """What was seen so far."""

    moments: list[dict] = field(default_factory=list)
    resumed_after: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def plan_kills(kills: int, choose: random.Random) -> list[str]:
    """Phases in random order, as evenly as it goes, saves first."""
    phases = [("saving", "evaluating", "training")[number % 3] for number in range(kills)]
    choose.shuffle(phases)
    return phases


def kill_once(
    runner: SmallRun, phase: str, choose: random.Random, report: Report, *, only_group: bool
) -> bool:
    """Start, wait for the moment, kill, and look at what is left; False where the run ended before."""
    before = runner.run_dir.checkpoint_step()
    process = runner.start()
    family = wait_for_phase(runner, process, phase, after_step=before + choose.randrange(2))
    time.sleep(choose.uniform(0.0, DELAY_S[phase]))
    if process.poll() is not None:
        return False
    kill(process, [] if only_group else family, runner.run_dir.path)
    seen, checkpoints = runner.phase(), runner.run_dir.checkpoints
    check_resume(runner, before, report)
    # Raises where the step that is named is not whole; a later one is of a kill just before it was named.
    last = runner.run_dir.checkpoint_step()
    whole = [step for step in saved_steps(checkpoints) if is_whole(step_folder(checkpoints, step))]
    report.moments.append(
        {
            "phase": seen.get("phase", "starting"),
            "step": seen.get("step", 0),
            "checkpoint": last,
            "half_a_checkpoint": (checkpoints / SAVING).is_dir(),
            "not_yet_named": max(whole, default=0) > last,
            "only_group": only_group,
        }
    )
    return True


def wait_for_phase(
    runner: SmallRun, process: subprocess.Popen[bytes], phase: str, *, after_step: int
) -> list[psutil.Process]:
    """All that the launcher has started, when the trainer has come to `phase` in a later step than `after_step`.

    Returns also when the launcher has ended.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    runner.run_dir.phase.unlink(missing_ok=True)  # of the start before
    family: list[psutil.Process] = []
    looked = 0.0
    while process.poll() is None and time.monotonic() < deadline:
        state = runner.phase()
        if state.get("phase") == phase and state["step"] > after_step:
            break
        if state and time.monotonic() > looked + 2.0:
            # Looked up before the moment: it takes longer than a save.
            family = psutil.Process(process.pid).children(recursive=True)
            looked = time.monotonic()
        time.sleep(0.005 if state else 0.2)
    return family


def kill(process: subprocess.Popen[bytes], family: list[psutil.Process], out: Path) -> None:
    """SIGKILL to the launcher's group and to `family`, those that train first; without one, to the group alone."""
    family = sorted(family, key=lambda member: "TaskRunner" not in " ".join(command_of(member)))
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if family:
        end_leftovers(Path(out))
    else:
        wait_for_trainer_to_end(str(out))  # a checkpoint that it finishes by then counts


def wait_for_trainer_to_end(out: str, timeout_s: float = 60.0) -> None:
    """Return when Ray has ended the process that trains; its other processes may live on."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        named = [
            process for process in psutil.process_iter() if "TaskRunner" in " ".join(command_of(process))
        ]
        if not any(environment_of(process).get(RUN_MARKER) == out for process in named):
            return
        time.sleep(0.5)


def command_of(process: psutil.Process) -> list[str]:
    """Its command line; [] where it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def environment_of(process: psutil.Process) -> dict[str, str]:
    """Its environment; {} where it is gone."""
    try:
        return process.environ()
    except psutil.Error:
        return {}


def check_resume(runner: SmallRun, expected: int, report: Report) -> None:
    """The start must have gone on after step `expected`."""
    found = re.search(r"resuming .* after step (\d+)", runner.output)
    resumed = int(found.group(1)) if found else 0
    report.resumed_after.append(resumed)
    if resumed != expected:
        report.failures.append(f"resumed after step {resumed}, the last whole checkpoint was {expected}")


def compare_order(plain: RunDir, killed: RunDir, report: Report, all_of: int = 0) -> None:
    """The prompts of every step (with `all_of`: all so many must be there) are those of the undisturbed run."""
    for step in range(1, all_of + 1) if all_of else map(int, step_names(killed)):
        mine, reference = prompts(killed, step), prompts(plain, step)
        # A kill may have cut the file short.
        if mine != reference if all_of else mine - reference:
            report.failures.append(f"step {step} was of other problems than in the undisturbed run")


def step_names(run_dir: RunDir) -> list[str]:
    """Steps that have a file of rollouts."""
    return [path.stem for path in (run_dir.path / "rollouts").glob("*.jsonl")]


def check_metrics(run: SmallRun, steps: int, report: Report) -> None:
    """Every step once, in order, in each of the three places."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(run.run_dir.tensorboard))
    board.Reload()
    found = {
        "metrics.jsonl": run.steps(),
        "wandb_backup": run.run_dir.backup.steps(),
        "TensorBoard": [0, *(event.step for event in board.Scalars("critic/score/mean"))],
    }
    for place, numbers in found.items():
        if numbers != list(range(steps + 1)):
            report.failures.append(f"{place} holds steps {numbers}")


def standard_error(rates: dict[str, float]) -> float:
    """Of the difference of two pass rates, each on HELD_OUT problems."""
    return math.sqrt(sum(rate * (1 - rate) / HELD_OUT for rate in rates.values()))


def shared_memory_bytes() -> int:
    """Bytes of named shared memory on this machine, by its pages."""
    return sum(512 * path.stat().st_blocks for path in Path("/dev/shm").iterdir() if path.is_file())


if __name__ == "__main__":
    main()

"""Each kind of process of a run killed (-9) or halted (-STOP) in each phase: what came, how soon, in which words.

    python benchmarks/fault_injection.py --out outputs/faults --budget-s 3000     # the same command goes on
    python benchmarks/fault_injection.py --out outputs/faults --table             # the table of all so far

One run of the main job made small takes all faults, one a start: every start goes on after the last checkpoint that
the one before has left. A fault passes when the command ends within a minute of it, with one line that names the
process, and the next start goes on after the checkpoint that was whole at that moment. One JSON line per fault.
"""

import argparse
import itertools
import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from small_run import SmallRun

from verl_coder.files import json_lines
from verl_coder.launch.processes import ROLES, SANDBOX, role_of
from verl_coder.run.phase import Phase

PHASES = (
    "starting: loading the model",
    "starting: starting vLLM",
    "training: generating",
    "training: reference log-probs",
    "training: updating",
    "training: syncing weights",
    "evaluating: answering",
    "saving",
)
SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}
MOST_S = 60.0
NOT_YET = {
    "starting: loading the model": (
        "vLLM server",
        "vLLM engine",
        "agent-loop worker",
        "vLLM's load balancer",
        "reward worker",
    ),
    "starting: starting vLLM": ("vLLM engine", "agent-loop worker", "vLLM's load balancer"),
}
"""Processes that a phase of the start does not have yet."""
STEPS = 100_000


def combinations() -> Iterator[tuple[str, str, str]]:
    """(role, signal, phase), mixed so that the first ones cover everything."""
    roles = list(dict.fromkeys(role for _, role in ROLES))
    found = [
        (role, name, phase)
        for role, name, phase in itertools.product([*roles, SANDBOX], SIGNALS, PHASES)
        if role not in NOT_YET.get(phase, ())
    ]
    random.Random(0).shuffle(found)
    yield from found


def processes_of(launcher: int, role: str) -> list[psutil.Process]:
    """Those of a role, below the launcher."""
    found = []
    for process in psutil.Process(launcher).children(recursive=True):
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        is_sandbox = "sandbox serve" in command and process.ppid() == launcher
        if (role == SANDBOX and is_sandbox) or (role != SANDBOX and role_of(command) == role):
            found.append(process)
    return found


def wait_for(run: SmallRun, process: subprocess.Popen[bytes], phase: str, timeout_s: float = 400.0) -> bool:
    """Whether the phase has come."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        now = Phase.read(run.run_dir.phase)
        if now is not None and now.key == phase:
            return True
        time.sleep(0.02)
    return False


def inject(run: SmallRun, role: str, name: str, phase: str) -> dict[str, object]:
    """One start, one fault, what came of it."""
    result: dict[str, object] = {"role": role, "signal": name, "phase": phase}
    process = run.start(WANDB_MODE="offline")
    try:
        if not wait_for(run, process, phase):
            if process.poll() is not None and "train.log" not in run.output:
                raise SystemExit(f"the start itself was refused: {last_line(run.output)}")
            return result | {"outcome": "the phase did not come", "said": last_line(run.output)}
        time.sleep(0.3 if phase.startswith("starting") else 0.05)
        victims = processes_of(process.pid, role)
        if not victims:
            return result | {"outcome": "no such process in this phase"}
        checkpoint = run.run_dir.checkpoint_step()
        victims[0].send_signal(SIGNALS[name])
        began = time.monotonic()
        try:
            status = process.wait(150)
        except subprocess.TimeoutExpired:
            return result | {"outcome": "hung", "seconds": 150}
        seconds = round(time.monotonic() - began, 1)
        said = last_line(run.output)
        after = run.run_dir.checkpoint_step()
        passed = status == 1 and seconds <= MOST_S and said.startswith("error: ") and role in said
        return result | {
            "outcome": "passed" if passed else "failed",
            "status": status,
            "seconds": seconds,
            "checkpoint": [checkpoint, after],
            "said": said,
        }
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def last_line(output: str) -> str:
    """What the terminal showed last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def resumed_after(output: str) -> int | None:
    """The step that a start says it goes on after."""
    found = re.search(r"resuming .* after step (\d+)", output)
    return int(found[1]) if found else None


def table(lines: list[dict[str, object]]) -> str:
    """Markdown: a row per process and signal, a column per phase: seconds to the end, or what came in its place."""
    names = [phase.partition(": ")[2] or phase for phase in PHASES]
    rows = [f"| process | signal | {' | '.join(names)} |", "| --- | --- |" + " --- |" * len(PHASES)]
    cells = {(str(line["role"]), str(line["signal"]), str(line["phase"])): line for line in lines}
    for role, name in dict.fromkeys((str(line["role"]), str(line["signal"])) for line in lines):
        found = [cells.get((role, name, phase)) for phase in PHASES]
        texts = [
            ""
            if line is None
            else f"{line['seconds']} s"
            if line["outcome"] == "passed"
            else str(line["outcome"])
            for line in found
        ]
        rows.append(f"| {role} | {name} | {' | '.join(texts)} |")
    return "\n".join(rows)


def main() -> None:
    """Go on where the table ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget-s", type=float, default=3000.0)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--only", default="", help="part of 'role signal phase'")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "faults.jsonl"
    done = list(json_lines(results)) if results.is_file() else []
    if arguments.table:
        print(table(done))
        return
    known = {(line["role"], line["signal"], line["phase"]) for line in done}
    run = SmallRun(
        arguments.out.resolve() / "run",
        STEPS,
        ("trainer.test_freq=1", "data.val_max_samples=16", "verl_coder.watchdog_first_s=600"),
    )
    ends = time.monotonic() + arguments.budget_s
    before = done[-1] if done else None
    for role, name, phase in combinations():
        if (role, name, phase) in known or arguments.only not in f"{role} {name} {phase}":
            continue
        if time.monotonic() > ends:
            break
        result = inject(run, role, name, phase)
        if before is not None and "checkpoint" in before:
            result["resumed_after"] = resumed_after(run.output)
            result["resume_is_exact"] = (result["resumed_after"] or 0) == before["checkpoint"][1]
        before = result
        with results.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)
    steps = run.steps()
    print(json.dumps({"steps_in_metrics": len(steps), "each_once": len(steps) == len(set(steps))}))


if __name__ == "__main__":
    main()

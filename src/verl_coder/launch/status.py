"""`verl-coder status RUN`: what a run is doing, and how far W&B has it."""

import fcntl
import re
import time
from pathlib import Path

from verl_coder.consoles import printable
from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.files import took_lock
from verl_coder.launch.summary import pass_rate
from verl_coder.run.checkpoint_files import awaits_evaluation, is_whole, read_best, step_folder
from verl_coder.run.notices import parse_notices
from verl_coder.run.phase import Phase
from verl_coder.run.run_dir import RunDir, given_run
from verl_coder.run.sync_state import SyncState
from verl_coder.time_left import duration
from verl_coder.words import counted, one_line


def run_status(folder: Path) -> dict[str, str]:
    """Lines of the report, name -> text; ConfigError where `folder` is no run."""
    run_dir = given_run(folder)
    records = run_dir.read_metrics()
    lines = {"run": str(run_dir.path), "state": _state(run_dir)}
    if why := _end_of_the_last_start(run_dir):
        lines["its last start"] = why
    if records:
        lines["last step"] = str(records[-1]["step"])
    rates = [(r["step"], pass_rate(r["data"])) for r in records if pass_rate(r["data"]) is not None]
    if rates:
        told = [f"{rate:.3f} (step {step})" for step, rate in rates]
        lines["held-out pass@1"] = ", ".join(told if len(told) <= 4 else [told[0], "...", *told[-3:]])
    lines |= _checkpoints(run_dir) | _sync(run_dir)
    if run_dir.notices.is_file():
        texts = parse_notices(run_dir.notices.read_bytes().split(b"\n"))
        for number, text in enumerate(texts[-3:], start=max(len(texts) - 2, 1)):
            lines[f"said, {number}"] = text
    return {name: printable(one_line(text)) for name, text in lines.items()}


def _checkpoints(run_dir: RunDir) -> dict[str, str]:
    """The last and the best one; what is wrong with them in the place of what cannot be told."""
    lines = {}
    try:
        step = run_dir.checkpoint_step()
        first = (
            ", which the next start evaluates first"
            if awaits_evaluation(step_folder(run_dir.checkpoints, step))
            else ""
        )
        lines["checkpoint"] = f"step {step}{first}" if step else "none yet"
    except CheckpointError as error:
        lines["checkpoint"] = str(error)
    try:
        best = read_best(run_dir.best)
    except CheckpointError as error:
        return lines | {"best checkpoint": str(error)}
    if best:
        is_there = is_whole(step_folder(run_dir.checkpoints, best[0]), to_go_on=False)
        gone = "" if is_there else ", which is not there any more"
        lines["best checkpoint"] = f"step {best[0]} (pass rate {best[1]:.3f}){gone}"
    return lines


def _end_of_the_last_start(run_dir: RunDir) -> str:
    """What the watchdog has said of a run that it ended, as long as the run has not gone on."""
    if run_dir.stuck.is_file() and not is_running(run_dir) and not run_dir.summary.is_file():
        with run_dir.stuck.open(errors="replace") as file:
            return file.readline().strip()
    return ""


def what_stands(run_dir: RunDir) -> str:
    """What a folder has of a run, in words: how far it is, whether it is at work; empty where no run was started."""
    if not run_dir.config.is_file():
        return ""
    try:
        step = run_dir.checkpoint_step()
    except CheckpointError:
        return "a run whose checkpoints are not in order"
    words = f"a run at step {step}" if step else "a run that was started and has no checkpoint yet"
    return words + (", at work" if is_running(run_dir) else "")


def is_running(run_dir: RunDir) -> bool:
    """Whether a process holds the folder's lock, which may be another user's."""
    if not run_dir.lock.is_file():
        return False
    try:
        file = run_dir.lock.open("r")
    except PermissionError:
        return _is_in_the_kernels_list(run_dir.lock)
    with file:
        return took_lock(file, fcntl.LOCK_SH) is False


def _is_in_the_kernels_list(lock: Path) -> bool:
    """Whether a process of this machine holds the lock of a file that cannot be opened."""
    try:
        held = Path("/proc/locks").read_text()
    except OSError:
        return False
    return re.search(rf"FLOCK .*:{lock.stat().st_ino} ", held) is not None


def _state(run_dir: RunDir) -> str:
    if is_running(run_dir):
        phase = Phase.read(run_dir.phase)
        if phase is None:
            return "starting"
        lasts = f", for {duration(max(time.time() - phase.since, 0.0))}" if phase.since else ""
        return phase.describe() + lasts
    if run_dir.summary.is_file():
        return "finished"
    return f"not running; {run_dir.same_command()}"


def _sync(run_dir: RunDir) -> dict[str, str]:
    steps = run_dir.backup.steps()
    lines = {"local metrics": f"{counted(len(steps), 'step')} in {run_dir.backup.folder.name}/"}
    try:
        state = SyncState.load(run_dir.sync_state)
    except ConfigError as error:
        return lines | {"W&B": str(error)}
    if state is None:
        return lines | {"W&B": "never used"}
    lines["W&B"] = f"{state.mode}, run {state.run_id} of project {state.project}" + (
        f", {state.url}" if state.url else ""
    )
    if state.linked_from:
        lines["W&B"] += f", goes on from {', '.join(state.linked_from)}"
    pending = state.pending(run_dir.backup)
    lines["W&B has"] = f"step {state.confirmed_step}" if state.confirmed_step >= 0 else "nothing confirmed"
    if pending and state.mode != "disabled":
        advice = "" if is_running(run_dir) else f": `verl-coder wandb push {run_dir.path}`"
        lines["W&B lacks"] = (
            f"{counted(len(pending), 'step')} or their confirmation ({pending[0]} to {pending[-1]}){advice}"
        )
    if state.error:
        lines["W&B error"] = state.error
    return lines

"""Start a planned run: sandbox, worker process, progress, summary; leave nothing behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from verl_coder.errors import VerlCoderError
from verl_coder.files import locked
from verl_coder.launch.cost import estimate
from verl_coder.launch.early_worker import EarlyWorker
from verl_coder.launch.leftovers import RUN_MARKER, clear_leftovers, scratch_folder
from verl_coder.launch.plan import Plan, is_finished, missing_data, preparation, prepare_data, print_plan
from verl_coder.launch.resumable import make_resumable
from verl_coder.launch.signals import SAVING, EndSignals
from verl_coder.launch.summary import summary_table, write_summary
from verl_coder.launch.supervise import Interrupted, reason_in_log
from verl_coder.launch.training_process import train

_CHECKING = "checking settings, model, reward, tools and every row"


def _no_rows(plan: Plan, command: str) -> str:
    teacher = plan.settings.teacher.traces if plan.settings.uses_teacher else None
    # A script of a recipe's own may make traces, too; the command that prepares a dataset makes none.
    others = [teacher] if teacher and command.startswith("verl-coder data prepare") else []
    made = ", ".join(str(path) for path in missing_data(plan) if str(path) not in others)
    words = [f"{made} (made by `{command}`)"] if made else []
    words += [
        f"{path} (made by `verl-coder teacher generate`)" for path in others if not Path(path).is_file()
    ]
    return f"warning: not there yet: {', '.join(words)}; so no row of any file was looked at"


def start(plan: Plan, console: Console, *, dry_run: bool = False) -> int:
    """Run the plan to its end, or resume it; returns the exit status of the command."""
    # Imports verl, torch and transformers: seconds, which a wrong recipe or override does not wait for.
    from verl_coder.launch.preflight.run import check_run

    run_dir, config = plan.run_dir, plan.config
    command = preparation(plan)
    if dry_run:
        with console.status(_CHECKING):
            findings = check_run(plan, data_is_there=command is None, dry_run=True)
        notes = [*findings.notes, *([_no_rows(plan, command)] if command else [])]
        print_plan(plan, console, {"memory": findings.memory, "time": estimate(config), "notes": notes})
        return 0
    if command:
        console.print(f"data: `{command}`", highlight=False, soft_wrap=True)
        with console.status("making the data"):
            prepare_data(command)
    if is_finished(plan):  # nothing will run that a note could be about
        with console.status(_CHECKING):
            check_run(plan)
        console.print(
            f"finished: {run_dir.summary} (another run: another OUT=)", highlight=False, soft_wrap=True
        )
        console.print(summary_table(run_dir.read_summary()))
        return 0
    with EarlyWorker(plan) as worker:
        with console.status(_CHECKING):
            findings = check_run(plan, free_bytes=worker.free_bytes)
        for note in findings.notes:
            console.print(note, highlight=False, soft_wrap=True)
        run_dir.path.mkdir(parents=True, exist_ok=True)
        with locked(run_dir.lock, f"another run is writing to {run_dir.path}: wait for it, or choose OUT="):
            os.environ[RUN_MARKER] = str(run_dir.path)
            clear_leftovers(run_dir, console)
            make_resumable(plan, console)
            with scratch_folder(run_dir) as scratch:
                return _run(plan, console, scratch, worker)


def _run(plan: Plan, console: Console, scratch: Path, worker: EarlyWorker) -> int:
    """Train in a worker process, then tell what came of it."""
    console.print(
        f"output: {plan.settings.out} (verl's, Ray's and vLLM's own log: train.log)",
        highlight=False,
        soft_wrap=True,
    )
    with EndSignals(SAVING) as signals:  # from the last step to the summary, too, which takes seconds
        return _train_and_tell(plan, console, lambda: train(plan, console, scratch, signals, worker), signals)


def _train_and_tell(plan: Plan, console: Console, training: Callable[[], int], signals: EndSignals) -> int:
    run_dir = plan.run_dir
    log_begins = run_dir.log.stat().st_size if run_dir.log.is_file() else 0
    try:
        status = training()
    except Interrupted as signal_name:
        console.print(f"stopped by {signal_name}; {run_dir.same_command()}", highlight=False)
        # Before training has begun there is nothing to save. A second signal finds the first one's request.
        saves = str(signal_name) in {number.name for number in SAVING}
        return 0 if saves and not run_dir.stop_request.is_file() else 130
    if status:
        reason = reason_in_log(run_dir.log, log_begins)
        raise VerlCoderError(f"training failed: {reason} (all of it: {run_dir.log})")
    if run_dir.stopped.is_file():
        step = json.loads(run_dir.stopped.read_text())["step"]
        saved = f"after step {step}, which is saved" if step else "before the first step was done"
        console.print(f"stopped by SIGTERM {saved}; the same command goes on", highlight=False)
        return 0
    write_summary(run_dir, plan.settings, console)
    if received := signals.take():
        console.print(f"{received.name}: all steps were done, and the summary is written", highlight=False)
    return 0

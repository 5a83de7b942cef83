"""The worker process that trains, and what stands beside it: the sandbox, the uploader, the progress, the watches."""

from contextlib import ExitStack, suppress
from pathlib import Path

from rich.console import Console

from verl_coder.launch.early_worker import EarlyWorker
from verl_coder.launch.leftovers import SharedMemoryWatch
from verl_coder.launch.plan import Plan
from verl_coder.launch.progress import RunProgress
from verl_coder.launch.signals import EndSignals
from verl_coder.launch.supervise import Interrupted, own_reason_in_log, sigterm_blocked, supervise
from verl_coder.launch.surroundings import places, run_sandbox
from verl_coder.launch.wall_clock import WallClock
from verl_coder.launch.wandb_uploader import WandbUploader
from verl_coder.launch.watchdog import RunStuck, Watchdog, is_starting
from verl_coder.run.phase import Phase
from verl_coder.run.run_dir import RunDir


def train(plan: Plan, console: Console, scratch: Path, signals: EndSignals, worker: EarlyWorker) -> int:
    """Let the worker process train beside sandbox, uploader and progress; its exit status.

    Interrupted by a signal, by one that `signals` has noted before it begins, too.
    """
    run_dir = plan.run_dir
    wall = WallClock(run_dir.wall, on_error=lambda error: _tell_full_disk(run_dir, error, console))
    memory = SharedMemoryWatch(run_dir.shared_memory)
    uploader = WandbUploader(
        run_dir, enabled=plan.wandb_mode == "online", finish_timeout_s=plan.settings.wandb_finish_timeout_s
    )
    progress = RunProgress(run_dir, console, plan.config.trainer.total_training_steps or 0)

    polls = [progress.poll, wall.poll, memory.poll]

    def on_poll() -> None:
        for poll in polls:
            with suppress(OSError):  # the terminal may be a file on a full disk
                poll()

    try:
        with ExitStack() as beside:
            with sigterm_blocked():
                beside.enter_context(uploader)
                url, keep = beside.enter_context(run_sandbox(plan))
            if received := signals.take():
                raise Interrupted(received.name)
            beside.enter_context(progress)
            watchdog = Watchdog(run_dir, plan.settings, scratch, keep)
            if plan.settings.watchdog:
                polls.append(watchdog.poll)
            try:
                status = supervise(
                    lambda: worker.begin(places(plan, url, scratch)),
                    on_poll=on_poll,
                    on_terminate=lambda: _ask_to_stop(run_dir, console),
                    keep=[*keep, *uploader.pids],
                    sigterm_for_us_alone=True,
                )
            finally:
                worker.log_words()
            progress.poll()
            told = watchdog.told_death or (watchdog.told_death_of_worker if status < 0 else "")  # by a signal
            if status and told and not own_reason_in_log(run_dir.log, watchdog.log_mark):
                raise RunStuck(told)
    finally:
        wall.write()
        memory.clear()
        run_dir.phase.unlink(missing_ok=True)
    return status


def _tell_full_disk(run_dir: RunDir, error: OSError, console: Console) -> None:
    """The trainer's own warnings stand in a file of that folder, too."""
    last = run_dir.last_whole_step()
    console.print(
        f"warning: {run_dir.path} cannot be written ({error.strerror}); training goes on, its metrics wait in memory, "
        + (f"the checkpoint of step {last} is whole" if last else "there is no checkpoint yet"),
        highlight=False,
        soft_wrap=True,
    )


def _ask_to_stop(run_dir: RunDir, console: Console) -> bool:
    """Ask the trainer to save and end; False before it trains, when there is nothing to save."""
    if is_starting(Phase.read(run_dir.phase)):
        return False
    run_dir.stop_request.touch()
    with suppress(OSError):  # as in `on_poll`
        console.print(
            "SIGTERM: saving a checkpoint, then ending (a second one ends at once)",
            highlight=False,
            soft_wrap=True,
        )
    return True

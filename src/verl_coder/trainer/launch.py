"""Start a planned run: sandbox, worker process, progress, summary; leave nothing behind."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omegaconf import OmegaConf, open_dict
from rich.console import Console

from verl_coder.errors import ConfigError, VerlCoderError
from verl_coder.files import write_atomically
from verl_coder.paths import repository_root
from verl_coder.platform.environment import CPU_ENVIRONMENT, SOCKET_FOLDER
from verl_coder.tracking.sync_state import begin as begin_sync
from verl_coder.tracking.uploader import WandbUploader
from verl_coder.trainer.checkpoint_files import clear_saving
from verl_coder.trainer.curve import draw_curve
from verl_coder.trainer.plan import Plan, preparation, prepare_data
from verl_coder.trainer.plan_text import print_plan
from verl_coder.trainer.preflight import check_run
from verl_coder.trainer.progress import RunProgress
from verl_coder.trainer.run_dir import RunDir
from verl_coder.trainer.shared_memory import SharedMemoryWatch
from verl_coder.trainer.summary import build_summary, summary_table, write_summary
from verl_coder.trainer.supervise import Interrupted, end_leftovers, run_supervised
from verl_coder.trainer.wall_clock import WallClock

RUN_MARKER = "VERL_CODER_RUN"
"""Environment variable, set to the run's folder in every process of a run."""


def start(plan: Plan, console: Console, *, dry_run: bool = False) -> int:
    """Run the plan to its end, or resume it; returns the exit status of the command."""
    run_dir, config = plan.run_dir, plan.config
    command = preparation(plan)
    if dry_run:
        check_run(config, run_dir, data_is_there=command is None)
        print_plan(plan, console)
        return 0
    if command:
        console.print(f"data: `{command}`", highlight=False, soft_wrap=True)
        prepare_data(command)
    check_run(config, run_dir)
    total = config.trainer.total_training_steps
    if total is not None and run_dir.finished_steps() >= total:
        console.print(
            f"finished: {run_dir.summary} (another run: OUT= or SEED=)", highlight=False, soft_wrap=True
        )
        console.print(summary_table(json.loads(run_dir.summary.read_text())))
        return 0
    run_dir.path.mkdir(parents=True, exist_ok=True)
    with _lock(run_dir.lock):
        os.environ[RUN_MARKER] = str(run_dir.path)
        clear_leftovers(run_dir, console)
        _make_resumable(plan, console)
        with tempfile.TemporaryDirectory(prefix="vc-") as scratch:
            (run_dir.path / ".scratch").write_text(scratch)
            status = _run(plan, console, Path(scratch))
        (run_dir.path / ".scratch").unlink(missing_ok=True)
        return status


def clear_leftovers(run_dir: RunDir, console: Console) -> None:
    """Remove what a launcher that was killed has left: processes, scratch folder, memory, half a checkpoint."""
    ended = end_leftovers(RUN_MARKER, str(run_dir.path))
    if ended:
        console.print(
            f"ended {ended} processes that an earlier start of this run left behind", highlight=False
        )
    scratch = run_dir.path / ".scratch"
    if scratch.is_file():
        left = Path(scratch.read_text())
        if left.name.startswith("vc-"):
            shutil.rmtree(left, ignore_errors=True)
        scratch.unlink()
    SharedMemoryWatch(run_dir.shared_memory).clear()
    clear_saving(run_dir.checkpoints)
    for path in (run_dir.stop_request, run_dir.stopped, run_dir.phase):
        path.unlink(missing_ok=True)


def _make_resumable(plan: Plan, console: Console) -> None:
    """Bring the folder to the state of its last checkpoint, and write the resolved configuration."""
    step = plan.run_dir.checkpoint_step()
    # Without a checkpoint everything is done again, the evaluation before training too.
    plan.run_dir.drop_metrics_after(step if step else -1)
    begin_sync(
        plan.run_dir.sync_state,
        mode=plan.wandb_mode,
        project=plan.config.trainer.project_name,
        name=plan.config.trainer.experiment_name,
        resumes_after=step or None,
        new_run=plan.new_wandb_run,
    )
    if step:
        console.print(f"resuming {plan.settings.out} after step {step}", highlight=False, soft_wrap=True)
        with open_dict(plan.config):
            # The evaluation before training is that of step 0; here it would replace the metrics of `step`.
            plan.config.trainer.val_before_train = False
    else:
        for path in (plan.run_dir.timing, plan.run_dir.wall):
            path.unlink(missing_ok=True)
    plan.run_dir.summary.unlink(missing_ok=True)  # of a run that was shorter
    plan.run_dir.record_shape(plan.config)
    write_atomically(plan.run_dir.config, OmegaConf.to_yaml(plan.config))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One run per folder; the lock goes with the process."""
    import fcntl

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another run is writing to {path.parent}: wait for it, or choose OUT="
            ) from error
        yield


@contextmanager
def _sandbox(plan: Plan) -> Iterator[tuple[str, list[int]]]:
    """URL of the run's sandbox, and the processes that belong to it."""
    url = plan.settings.sandbox_url or os.environ.get("SANDBOX_URL")
    if url:
        import asyncio

        from verl_coder.sandbox import SandboxClient

        async def answers() -> bool:
            async with SandboxClient(url, max_attempts=2) as client:
                return await client.ping()

        if not asyncio.run(answers()):
            raise ConfigError(
                f"no sandbox answers at {url}: start it, or unset SANDBOX_URL / verl_coder.sandbox_url"
            )
        yield url, []
        return
    from verl_coder.sandbox.embedded import EmbeddedSandbox

    if plan.config.trainer.nnodes > 1:
        raise ConfigError(
            f"trainer.nnodes={plan.config.trainer.nnodes}: the embedded sandbox is on loopback, so name the "
            "sandboxes of all nodes in verl_coder.sandbox_url (verl-coder sandbox serve --host ... on each)"
        )
    settings = plan.settings
    sandbox = EmbeddedSandbox(
        port=settings.sandbox_port,
        isolation=settings.sandbox_isolation,
        extra=["--unsafe"] if settings.sandbox_unsafe else [],
    )
    with sandbox:
        yield sandbox.url, [sandbox.pid]


def _environment(plan: Plan, sandbox_url: str, scratch: Path) -> dict[str, str]:
    """Environment of the worker: what the user has, the platform's variables, the run's own."""
    environment = dict(os.environ)
    if plan.config.trainer.device == "cpu":
        # Ray gives every actor one thread; here actor, reference and vLLM take turns on all cores.
        threads = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
        environment = {**CPU_ENVIRONMENT, **threads, **environment}
    else:
        for name in ("VERL_PLATFORM", "VERL_ENGINE_DEVICE"):
            environment.pop(name, None)
    return environment | {
        "SANDBOX_URL": sandbox_url,
        "VERL_CODER_ROOT": str(repository_root()),
        "TMPDIR": str(scratch),
        "RAY_TMPDIR": str(scratch),
        SOCKET_FOLDER: str(scratch),
        "PYTHONUNBUFFERED": "1",
        "HYDRA_FULL_ERROR": "1",
    }


def _run(plan: Plan, console: Console, scratch: Path) -> int:
    run_dir = plan.run_dir
    wall = WallClock(run_dir.wall, on_error=lambda error: _tell_full_disk(run_dir, error, console))
    memory = SharedMemoryWatch(run_dir.shared_memory)
    log_begins = run_dir.log.stat().st_size if run_dir.log.is_file() else 0
    total = plan.config.trainer.total_training_steps or 0
    console.print(
        f"output: {plan.settings.out} (verl's, Ray's and vLLM's own log: train.log)",
        highlight=False,
        soft_wrap=True,
    )
    try:
        uploader = WandbUploader(
            run_dir,
            enabled=plan.wandb_mode == "online",
            finish_timeout_s=plan.settings.wandb_finish_timeout_s,
        )
        with uploader, _sandbox(plan) as (url, keep), RunProgress(run_dir, console, total) as progress:

            def on_poll() -> None:
                for poll in (progress.poll, wall.poll, memory.poll):
                    with suppress(OSError):  # the terminal may be a file on a full disk
                        poll()

            status = run_supervised(
                [sys.executable, "-m", "verl_coder.trainer.worker", str(run_dir.config)],
                environment=_environment(plan, url, scratch),
                log=run_dir.log,
                on_poll=on_poll,
                on_terminate=lambda: _ask_to_stop(run_dir, console),
                keep=[*keep, *uploader.pids],
            )
            progress.poll()
    except Interrupted as signal_name:
        step = run_dir.checkpoint_step()
        console.print(
            f"stopped by {signal_name}; the same command goes on "
            + (f"after step {step}" if step else "anew"),
            highlight=False,
        )
        # SIGTERM before training has begun: there is nothing to save. A second one finds the first one's request.
        return 0 if str(signal_name) == "SIGTERM" and not run_dir.stop_request.is_file() else 130
    finally:
        wall.write()
        memory.clear()
        run_dir.phase.unlink(missing_ok=True)
    if status:
        reason = reason_in_log(run_dir.log, log_begins)
        raise VerlCoderError(f"training failed: {reason} (all of it: {run_dir.log})")
    if run_dir.stopped.is_file():
        step = json.loads(run_dir.stopped.read_text())["step"]
        console.print(
            "stopped by SIGTERM "
            + (f"after step {step}, which is saved" if step else "before the first step was done")
            + "; the same command goes on",
            highlight=False,
        )
        return 0
    summary = build_summary(run_dir, plan.settings)
    title = f"{plan.settings.recipe}, seed {plan.settings.seed}"
    draw_curve(run_dir.read_metrics(), title, run_dir.curve)
    write_summary(run_dir, summary)
    console.print(summary_table(summary))
    console.print(f"summary: {run_dir.summary}\npicture: {run_dir.curve}", highlight=False, soft_wrap=True)
    return 0


def _tell_full_disk(run_dir: RunDir, error: OSError, console: Console) -> None:
    """The trainer's own warnings stand in a file of that folder, too."""
    last = run_dir.checkpoint_step()
    console.print(
        f"warning: {run_dir.path} cannot be written ({error.strerror}); training goes on, its metrics wait in memory, "
        + (f"the checkpoint of step {last} is whole" if last else "there is no checkpoint yet"),
        highlight=False,
        soft_wrap=True,
    )


def _ask_to_stop(run_dir: RunDir, console: Console) -> bool:
    """Ask the trainer to save and end; False before it trains, when there is nothing to save."""
    if not run_dir.phase.is_file():
        return False
    run_dir.stop_request.touch()
    console.print("SIGTERM: saving a checkpoint, then ending (a second one ends at once)", highlight=False)
    return True


def reason_in_log(log: Path, start: int = 0) -> str:
    """The last exception in a log from byte `start` on: its last line `Name: message`, without Ray's colours."""
    import re

    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    plain = re.sub(r"^\([^)]*pid=\d+\)\s?", "", plain, flags=re.M)
    named = re.findall(r"^((?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b:? ?.*)$", plain, flags=re.M)
    told = [line for line in named if "RayTaskError" not in line and "ActorDiedError" not in line]
    return (told or named or ["no exception in the log"])[-1].strip()[:400]

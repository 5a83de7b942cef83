"""The worker process that trains, and what stands beside it: the sandbox, the uploader, the progress, the watches."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from verl_coder.errors import ConfigError
from verl_coder.launch.leftovers import SharedMemoryWatch
from verl_coder.launch.plan import Plan
from verl_coder.launch.progress import RunProgress
from verl_coder.launch.supervise import run_supervised
from verl_coder.launch.wall_clock import WallClock
from verl_coder.launch.wandb_uploader import WandbUploader
from verl_coder.paths import repository_root
from verl_coder.platform.environment import CPU_ENVIRONMENT, SOCKET_FOLDER
from verl_coder.run.run_dir import RunDir


def train(plan: Plan, console: Console, scratch: Path) -> int:
    """Run the worker process beside sandbox, uploader and progress; its exit status. Interrupted by a signal."""
    run_dir = plan.run_dir
    wall = WallClock(run_dir.wall, on_error=lambda error: _tell_full_disk(run_dir, error, console))
    memory = SharedMemoryWatch(run_dir.shared_memory)
    uploader = WandbUploader(
        run_dir, enabled=plan.wandb_mode == "online", finish_timeout_s=plan.settings.wandb_finish_timeout_s
    )
    progress = RunProgress(run_dir, console, plan.config.trainer.total_training_steps or 0)

    def on_poll() -> None:
        for poll in (progress.poll, wall.poll, memory.poll):
            with suppress(OSError):  # the terminal may be a file on a full disk
                poll()

    try:
        with uploader, _sandbox(plan) as (url, keep), progress:
            status = run_supervised(
                [sys.executable, "-m", "verl_coder.launch.worker", str(run_dir.config)],
                environment=_environment(plan, url, scratch),
                log=run_dir.log,
                on_poll=on_poll,
                on_terminate=lambda: _ask_to_stop(run_dir, console),
                keep=[*keep, *uploader.pids],
            )
            progress.poll()
    finally:
        wall.write()
        memory.clear()
        run_dir.phase.unlink(missing_ok=True)
    return status


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

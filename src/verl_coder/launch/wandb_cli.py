"""`verl-coder wandb`: what a run has not sent to W&B yet."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.callback()
def callback() -> None:
    """Keep `push` a sub-command while it is the only one."""


@app.command()
def push(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    finish_timeout_s: Annotated[
        float, typer.Option(help="How long to wait for the server at the end.")
    ] = 300.0,
) -> None:
    """Send the steps that the server lacks, in order, and check that it has them."""
    import os

    from verl_coder.errors import ConfigError
    from verl_coder.launch.wandb_push import WandbPush
    from verl_coder.run.run_dir import RunDir
    from verl_coder.run.sync_state import has_wandb_key

    if not has_wandb_key(dict(os.environ)):
        raise ConfigError("W&B has no key of yours: set WANDB_API_KEY, or run `wandb login`")
    run_dir = RunDir(run.expanduser().resolve())
    task = WandbPush(run_dir.path, run_dir.sync_state, run_dir.backup, finish_timeout_s=finish_timeout_s)
    sent = task.push_pending(lambda step: print(f"step {step}", flush=True))
    print(f"{sent} steps sent; the server has step {task.state.confirmed_step} ({task.state.url})")

"""Send a run's step files to W&B: in order, each once, as far as the server lacks them."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from verl_coder.command_app import command_app
from verl_coder.errors import ConfigError, DataError, TrackingError
from verl_coder.files import json_lines
from verl_coder.launch.status import is_running
from verl_coder.run.backup import StepBackup
from verl_coder.run.run_dir import given_run
from verl_coder.run.sync_state import SyncState, copied_from, has_wandb_key
from verl_coder.words import counted

_NO_CONFIG = "write {} into it, and the steps are sent without their settings"
INIT_TIMEOUT_S = 30.0
POLL_S = 0.5
RETRY_S = 30.0
CONFIRM_S = 600.0
"""How often a long upload asks the server what it has: wandb's client tells of no failure by itself."""
_PASSING = (TrackingError, ConfigError, DataError, OSError)
"""The server, a step file that is broken, a disk that is full: what may be mended while training goes on."""


class WandbPush:
    """The upload of one run folder. `push_pending` once, or `follow` while training goes on."""

    def __init__(
        self, folder: Path, state_path: Path, backup: StepBackup, *, finish_timeout_s: float
    ) -> None:
        state = SyncState.load(state_path)
        if state is None:
            raise TrackingError(f"{folder} has no {state_path.name}: it is not a training run of verl-coder")
        self.state, self._path, self._folder, self._backup = state, state_path, folder, backup
        self._finish_timeout_s = finish_timeout_s
        self._run: Any = None
        self._confirmed_at = 0.0

    def push_pending(self, on_step: Callable[[int], None] = lambda _: None) -> int:
        """Send what the server lacks, and ask it again; the number of steps sent.

        TrackingError where the server has not got everything, with the reason.
        """
        sent: set[int] = set()
        for _ in range(2):
            self._open()
            if not self.state.pending(self._backup):
                break
            for step in self.state.pending(self._backup):
                self._log(step)
                sent.add(step)
                on_step(step)
            self._close()
        else:
            # What the server answers to a new connection is what it has.
            self._open()
        self._close()
        left = self.state.pending(self._backup)
        if left:
            self._remember(f"the server lacks steps {left[0]} to {left[-1]}")
            raise TrackingError(f"W&B: {self.state.error}")
        return len(sent)

    def follow(
        self,
        stopped: Callable[[], bool],
        on_error: Callable[[str], None],
        *,
        confirm_every_s: float = CONFIRM_S,
    ) -> None:
        """Send steps as they appear until `stopped()`; what fails is told to `on_error`, and tried again later."""
        next_try = 0.0
        while True:
            last_round = stopped()
            if time.monotonic() >= next_try or last_round:
                try:
                    self._send_new()
                    if not last_round:
                        self._confirm(confirm_every_s)
                except _PASSING as error:
                    on_error(_told(error))
                    next_try = time.monotonic() + RETRY_S
            if last_round:
                break
            time.sleep(POLL_S)
        try:
            self._close()
            if self.state.pending(self._backup):
                self._open()
                self._close()
        except _PASSING as error:
            on_error(_told(error))

    def _send_new(self) -> None:
        floor = max(self.state.sent_step, self.state.confirmed_step, self.state.first_step - 1)
        if not [step for step in self._backup.steps() if step > floor]:
            return
        if self._run is None:
            self._open()
            floor = self.state.sent_step
        for step in [step for step in self._backup.steps() if step > floor]:
            self._log(step)
        self._remember(None)

    def _confirm(self, every_s: float) -> None:
        """Connect anew if that is due: the server's answer is what it has, and what it lacks is sent again."""
        waiting = self._run is not None and self.state.sent_step > self.state.confirmed_step
        if waiting and time.monotonic() - self._confirmed_at >= every_s:
            self._open()

    def _open(self) -> None:
        """Connect; the server's answer says which step it has last. TrackingError."""
        import wandb

        self._close()
        os.environ["WANDB_SILENT"] = "true"
        config = {**_config(self._folder / "config.yaml"), "linked_from": self.state.linked_from}
        (self._folder / "wandb").mkdir(exist_ok=True)
        try:
            self._run = wandb.init(
                id=self.state.run_id,
                project=self.state.project,
                entity=os.environ.get("WANDB_ENTITY"),
                name=self.state.name,
                group=self.state.name,
                config=config,
                dir=str(self._folder),
                resume="allow",
                mode="online",
                settings=wandb.Settings(
                    init_timeout=INIT_TIMEOUT_S,
                    finish_timeout=self._finish_timeout_s,
                    console="off",
                    disable_git=True,
                    save_code=False,
                    silent=True,
                    login_timeout=1,
                ),
            )
        except Exception as error:  # wandb raises many kinds, and none of them may stop anything
            self._run = None
            # Its service would refuse every later try: it holds the run that it could not begin for "in use".
            with suppress(Exception):
                wandb.teardown()
            self._remember(_one_line(error))
            raise TrackingError(f"W&B does not answer ({self.state.error})") from error
        self.state.url = getattr(self._run, "url", None)
        last = self._run.starting_step - 1 if self._run.resumed else -1
        self.state.confirmed_step, self._confirmed_at = last, time.monotonic()
        self.state.sent_step = max(last, self.state.first_step - 1)
        self._remember(None)

    def _log(self, step: int) -> None:
        record = self._backup.read(step)
        payload: dict[str, Any] = dict(record["data"])
        for name, file in record.get("tables", {}).items():
            table = self._table(self._folder / file)
            if table is not None:
                payload[name] = table
        try:
            # Without `commit` wandb keeps a step back until the next one begins.
            self._run.log(payload, step=step, commit=True)
        except Exception as error:
            self._run = None
            self._remember(_one_line(error))
            raise TrackingError(f"W&B's client failed ({self.state.error})") from error
        self.state.sent_step = step

    def _table(self, path: Path) -> Any:
        import wandb

        if not path.is_file():
            return None
        try:
            rows = list(json_lines(path))
            columns = list(rows[0]) if rows else []
            data = [[row.get(column) for column in columns] for row in rows]
        except (DataError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is broken ({type(error).__name__}: {error}): remove it") from error
        return wandb.Table(columns=columns, data=data) if rows else None

    def _close(self) -> None:
        """Wait, up to the limit, until the client has delivered what it was given."""
        if self._run is None:
            return
        run, self._run = self._run, None
        try:
            run.finish()
        except Exception as error:
            self._remember(_one_line(error))
            raise TrackingError(f"W&B's client failed ({self.state.error})") from error

    def _remember(self, error: str | None) -> None:
        self.state.error = error
        self.state.save(self._path)


def _config(path: Path) -> dict[str, Any]:
    """The run's configuration; ConfigError where the file holds none."""
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    except (OmegaConfBaseException, yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is broken ({_one_line(error)}): {_NO_CONFIG}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds no mapping: {_NO_CONFIG}")
    return {str(key): value for key, value in loaded.items()}


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, TrackingError) else f"W&B's uploader: {error}"


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200] if text else ''}".rstrip(": ")


app = command_app(no_args_is_help=True, help="What a run has not sent to W&B yet.")


@app.callback()
def callback() -> None:
    """Keep `push` a sub-command while it is the only one."""


@app.command()
def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    finish_timeout_s: Annotated[
        float, typer.Option(help="How long to wait for the server at the end.", min=0.0)
    ] = 300.0,
) -> None:
    """Send the steps that the server lacks, in order, and check that it has them."""
    run_dir = given_run(run)
    if not has_wandb_key(dict(os.environ)):
        raise ConfigError("W&B has no key of yours: set WANDB_API_KEY, or run `wandb login`")
    if is_running(run_dir):
        raise ConfigError(
            f"{run_dir.path} is at work: a second client would write to its W&B run. Push when it has ended"
        )
    if copied := copied_from(run_dir.sync_state):
        raise ConfigError(
            f"{run_dir.path} is a copy of {copied}, whose W&B run this is: push that one. A copy that trains on begins "
            "a run of its own"
        )
    task = WandbPush(run_dir.path, run_dir.sync_state, run_dir.backup, finish_timeout_s=finish_timeout_s)
    sent = task.push_pending(lambda step: print(f"step {step}", flush=True))
    print(f"{counted(sent, 'step')} sent; the server has step {task.state.confirmed_step} ({task.state.url})")

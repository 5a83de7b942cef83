"""`wandb_sync_state.json`: which W&B run a folder belongs to, and how far the server has it."""

import dataclasses
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.files import write_durably
from verl_coder.run.backup import StepBackup

MODES = ("online", "offline", "disabled")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(kw_only=True)
class SyncState:
    """State of the upload; the uploader writes it, everyone may read it."""

    mode: str
    """online, offline (only the local backup is written; push it later) or disabled."""
    run_id: str
    project: str
    name: str
    first_step: int = 0
    """The first step that belongs into this W&B run; later than 0 for one that goes on from another."""
    linked_from: list[str] = field(default_factory=list)
    """Ids of the W&B runs that this one goes on from (`--new-wandb-run`), oldest first."""
    sent_step: int = -1
    """The last step handed to wandb, which may not have delivered it yet."""
    confirmed_step: int = -1
    """The last step that the server has, by its own answer."""
    url: str | None = None
    error: str | None = None
    """Why the last attempt failed; null after one that went well."""

    @classmethod
    def load(cls, path: Path) -> "SyncState | None":
        """The state in `path`, None where there is none; ConfigError where it is broken."""
        if not path.is_file():
            return None
        try:
            values: dict[str, Any] = json.loads(path.read_text())
            return cls(**values)
        except (json.JSONDecodeError, TypeError) as error:
            raise ConfigError(
                f"{path}: not a sync state ({error}); remove it to start a new W&B run"
            ) from error

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_durably(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    def pending(self, backup: StepBackup) -> list[int]:
        """Steps that the server is not known to have, in order."""
        floor = max(self.confirmed_step, self.first_step - 1)
        return [step for step in backup.steps() if step > floor]


def begin(
    path: Path, *, mode: str, project: str, name: str, resumes_after: int | None, new_run: bool = False
) -> SyncState:
    """The state with which a start of the training run begins, written to `path`.

    The W&B run of the folder goes on; with `new_run` a new one begins, linked to it, with the steps after
    `resumes_after` (None: training has no checkpoint yet and starts anew).
    """
    before = SyncState.load(path)
    if before and not new_run:
        state = dataclasses.replace(before, mode=mode, error=None)
    else:
        linked = [*before.linked_from, before.run_id] if before else []
        state = SyncState(
            mode=mode,
            run_id="".join(secrets.choice(_ALPHABET) for _ in range(8)),
            project=project,
            name=name,
            linked_from=linked,
            first_step=resumes_after + 1 if resumes_after is not None else 0,
        )
    state.save(path)
    return state


def choose_mode(setting: str, environment: dict[str, str], *, has_key: bool) -> str:
    """`auto` is $WANDB_MODE, else online where W&B has a key of the user's, else offline. ConfigError."""
    if setting != "auto":
        value, place = setting, "verl_coder.wandb"
    elif environment.get("WANDB_MODE"):
        value, place = environment["WANDB_MODE"], "WANDB_MODE"
    else:
        return "online" if has_key else "offline"
    if value not in MODES:
        raise ConfigError(f"{place}={value}: use {', '.join(MODES)}")
    return value


def has_wandb_key(environment: dict[str, str]) -> bool:
    """Whether W&B would find a key: in the environment, or in ~/.netrc for its host."""
    import netrc
    from urllib.parse import urlparse

    if environment.get("WANDB_API_KEY"):
        return True
    host = urlparse(environment.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(environment.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False

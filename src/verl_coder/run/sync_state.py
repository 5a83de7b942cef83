"""`wandb_sync_state.json`: which W&B run a folder belongs to, and how far the server has it."""

import dataclasses
import json
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.files import write_durably
from verl_coder.platform.environment import variable_set
from verl_coder.run.backup import StepBackup

MODES = ("online", "offline", "disabled")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


_KINDS: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    list[str]: (list,),
    str | None: (str, type(None)),
}
"""Type of a field -> classes of what JSON has for it."""


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
    folder: str = ""
    """The run's folder at its last start: another one, where this one is there too, is a copy. Empty: nobody knows."""

    @classmethod
    def load(cls, path: Path) -> "SyncState | None":
        """The state in `path`, None where there is none; ConfigError where it is broken."""
        if not path.is_file():
            return None
        try:
            found = cls(**json.loads(path.read_text()))
            found._check_kinds()
            return found
        except (ValueError, TypeError, RecursionError) as error:
            raise ConfigError(
                f"{path}: not a sync state ({error}); remove it to start a new W&B run"
            ) from error

    def _check_kinds(self) -> None:
        """TypeError for the first value of another kind."""
        for field_ in dataclasses.fields(self):
            value = getattr(self, field_.name)
            kinds = _KINDS[field_.type]
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise TypeError(f"{field_.name} is {value!r}")
        if self.mode not in MODES:
            raise TypeError(f"mode is {self.mode!r}")
        if not all(isinstance(one, str) for one in self.linked_from):
            raise TypeError(f"linked_from is {self.linked_from!r}")

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
    """The state with which a start of the training run begins, written to `path`, which stands in the run's folder.

    The W&B run of the folder goes on; with `new_run` a new one begins, linked to it, with the steps after
    `resumes_after` (None: training has no checkpoint and starts anew). One that starts anew after W&B was sent
    steps of an earlier attempt is another W&B run, too, and so is a copy of a folder that is still there.
    """
    before = SyncState.load(path)
    new_run = new_run or copied_from(path) is not None
    folder = str(path.parent.resolve())
    # Without a checkpoint training starts anew: another run, unless W&B has no step of the first attempt.
    anew = before is not None and resumes_after is None and max(before.sent_step, before.confirmed_step) >= 0
    if before and not new_run and not anew:
        state = dataclasses.replace(before, mode=mode, error=None, folder=folder)
    else:
        linked = [*before.linked_from, before.run_id] if before else []
        state = SyncState(
            mode=mode,
            run_id="".join(secrets.choice(_ALPHABET) for _ in range(8)),
            project=project,
            name=name,
            linked_from=linked,
            folder=folder,
            first_step=resumes_after + 1 if resumes_after is not None else 0,
        )
    state.save(path)
    return state


def copied_from(path: Path) -> Path | None:
    """The folder whose copy that of the state in `path` is; None where it is none, or was moved."""
    state = SyncState.load(path)
    if state is None or not state.folder:
        return None
    there = Path(state.folder)
    if not (there / path.name).is_file() or there.samefile(path.parent):
        return None
    return there


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
    """Whether W&B's own client would find a key or an identity token: in `environment`, its settings, or .netrc.

    `wandb login --host` writes the host to W&B's settings file and the key to .netrc.
    """
    if environment.get("WANDB_API_KEY") or environment.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    system_settings = Path(environment.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser() / "settings"
    places = (*_netrc_files(environment), system_settings)
    if "wandb" not in sys.modules and not any(place.is_file() for place in places):
        return False  # the client has no other place for a key, and takes a second to import
    import wandb
    from wandb.sdk.lib import wbauth

    try:
        settings = wandb.Settings(quiet=True)
        settings.settings_system = str(system_settings)  # as its own set-up does
        settings.update_from_system_settings()
        settings.update_from_env_vars(dict(environment))
        if settings.api_key:
            return True
        # W&B reads it from the process's environment only.
        with variable_set("NETRC", environment.get("NETRC")):
            return wbauth.read_netrc_auth(host=wbauth.HostUrl(settings.base_url)) is not None
    except (wandb.errors.Error, ValueError):
        return False  # a key or a host that the client itself refuses


def check_wandb_key(environment: dict[str, str]) -> None:
    """ConfigError where WANDB_API_KEY has not the form of a key, by W&B's own rule."""
    key = environment.get("WANDB_API_KEY")
    if not key:
        return
    from wandb.sdk.lib import wbauth

    if problem := wbauth.check_api_key(key):
        raise ConfigError(
            f"WANDB_API_KEY: {problem.rstrip('.')}: set the whole key, or WANDB_MODE=offline, which keeps the metrics "
            "on the disk"
        )


def _netrc_files(environment: dict[str, str]) -> list[Path]:
    given = environment.get("NETRC")
    return [Path(given).expanduser()] if given else [Path.home() / name for name in (".netrc", "_netrc")]

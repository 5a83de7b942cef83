"""How an SFT run was set, so that the same command goes on, says that it has finished, or is told from another."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.files import read_object, write_atomically
from verl_coder.model_digest import folder_digest
from verl_coder.run.checkpoint_files import clear_saving
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.process import LOG
from verl_coder.sft.settings import SftRequest

_MAY_CHANGE = frozenset({"micro_tokens", "profile", "keep"})
"""Of a run that goes on: what changes nothing that is learnt."""


def digests(request: SftRequest) -> dict[str, str]:
    """SHA-256 of the files that the request names, by option, `folder_digest` of the model; what is gone has none."""
    model = {"--model": folder_digest(Path(request.model))} if Path(request.model).is_dir() else {}
    files = {"--traces": request.traces, "--validation": request.validation, "--tools": request.tools}
    return model | {
        option: hashlib.sha256(Path(file).read_bytes()).hexdigest()
        for option, file in files.items()
        if file and Path(file).is_file()
    }


def is_finished(request: SftRequest) -> bool:
    """Whether this very run is in OUT; ConfigError where another one is."""
    path = request.out / "summary.json"
    if not path.is_file():
        if (request.out / "model").exists() and not (request.out / "metrics.jsonl").is_file():
            raise ConfigError(f"--out {request.out} holds a model that is not of this command: name another")
        return False
    written = read_object(path, "remove it, and the same command goes on")
    if changed := _changes(written, request, set()):
        raise ConfigError(
            f"--out {request.out} holds a finished run with other settings ({'; '.join(changed)}): name another"
        )
    return True


def begin(request: SftRequest, run_dir: RunDir) -> int:
    """Bring OUT to the state of its last checkpoint, and return that step; 0 for a new start.

    ConfigError where the checkpoint is of a run with other settings, CheckpointError where a file is broken.
    """
    run_dir.path.mkdir(parents=True, exist_ok=True)
    clear_saving(run_dir.checkpoints)
    step = run_dir.checkpoint_step()
    if step and run_dir.resume.is_file():
        before = read_object(run_dir.resume, "remove it, and the settings of this start count")
        if changed := _changes(before, request, _MAY_CHANGE):
            raise ConfigError(
                f"--out {request.out} holds step {step} of a run with other settings ({'; '.join(changed)}): take that "
                "back, or name another"
            )
    if step:
        run_dir.drop_metrics_after(step)
    else:
        shutil.rmtree(run_dir.checkpoints, ignore_errors=True)
        for path in (run_dir.path / LOG, run_dir.metrics, run_dir.notices):
            path.unlink(missing_ok=True)
    write_atomically(
        run_dir.resume, json.dumps({"settings": request.as_json(), "digests": digests(request)}, indent=1)
    )
    return step


def _changes(before: dict[str, Any], request: SftRequest, allowed: set[str] | frozenset[str]) -> list[str]:
    """What differs from an earlier start, each with both values; of a file the content counts, not its place."""
    settings, now = dict(before.get("settings", {})), request.as_json()
    old, new = dict(before.get("digests", {})), digests(request)  # absent in the summaries of older versions
    by_content = {option.removeprefix("--") for option in old.keys() & new.keys()}
    changed = [
        f"{name} was {settings[name]}, is {value}"
        for name, value in now.items()
        if name in settings and settings[name] != value and name not in allowed | by_content
    ]
    return changed + [
        f"the content of {option} is another one"
        for option, digest in new.items()
        if old.get(option, digest) != digest
    ]

"""How an SFT run was set, so that the same command goes on, says that it has finished, or is told from another."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.files import read_object, write_atomically
from verl_coder.model_digest import folder_digest
from verl_coder.run.checkpoint_files import clear_saving
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.process import LOG
from verl_coder.sft.settings import SftRequest
from verl_coder.sft.student import tools_file

_MAY_CHANGE = frozenset(
    {
        *("micro_tokens", "keep", "overrides.trainer.save_freq", "overrides.trainer.save_every_s"),
        *("overrides.trainer.logger", "overrides.model.enable_gradient_checkpointing"),
    }
)
"""Of a run that goes on: what changes nothing that is learnt."""


def digests(request: SftRequest) -> dict[str, str]:
    """SHA-256 of the files that the request names, by option, `folder_digest` of the model; what is gone has none."""
    model = {"--model": folder_digest(Path(request.model))} if Path(request.model).is_dir() else {}
    files = {
        "--traces": request.traces,
        "--validation": request.validation,
        "--tools": tools_file(request.tools),
    }
    return model | {
        option: hashlib.sha256(Path(file).read_bytes()).hexdigest()
        for option, file in files.items()
        if file and Path(file).is_file()
    }


def is_finished(request: SftRequest, run_dir: RunDir, found: Mapping[str, str]) -> bool:
    """Whether this very run is in OUT; ConfigError where another one is. `found`: the digests of its files."""
    if not run_dir.summary.is_file():
        if (run_dir.path / "model").exists() and not run_dir.metrics.is_file():
            raise ConfigError(f"--out {request.out} holds a model that is not of this command: name another")
        return False
    written = read_object(run_dir.summary, "remove it, and the same command goes on")
    if not isinstance(written.get("settings"), dict) or "traces" not in written["settings"]:
        raise ConfigError(f"--out {request.out} holds a finished run of another command: name another")
    if changed := _changes(written, request, found, frozenset()):
        raise ConfigError(
            f"--out {request.out} holds a finished run with other settings ({'; '.join(changed)}): name another"
        )
    if not (run_dir.path / "model" / "config.json").is_file():
        raise ConfigError(
            f"--out {request.out} has a summary and no model: remove {run_dir.summary} to train again"
        )
    return True


def last_step(request: SftRequest, run_dir: RunDir, found: Mapping[str, str]) -> int:
    """Step of the last checkpoint in OUT, 0 where there is none.

    ConfigError where OUT holds a run with other settings or of another command, CheckpointError where a file is broken.
    """
    if "global_step_" in str(run_dir.path):
        raise ConfigError(
            f"--out {request.out}: global_step_ in its path reads as a checkpoint's: name another"
        )
    step = run_dir.checkpoint_step()
    if not run_dir.resume.is_file():
        if step or run_dir.config.is_file():
            raise ConfigError(f"--out {request.out} holds a run of another command: name another")
        return 0
    before = read_object(run_dir.resume, "remove that folder to train again")
    if "digests" not in before:
        raise ConfigError(f"--out {request.out} holds a run of another command: name another")
    if step and (changed := _changes(before, request, found, _MAY_CHANGE)):
        raise ConfigError(
            f"--out {request.out} holds step {step} of a run with other settings ({'; '.join(changed)}): take that "
            "back, or name another"
        )
    return step


def begin(
    request: SftRequest,
    run_dir: RunDir,
    found: Mapping[str, str],
    tell: Callable[[str], None] = lambda _: None,
) -> int:
    """Bring OUT to the state of its last checkpoint, and return that step; 0 for a new start. Errors of `last_step`.

    `tell` is told of recorded steps that are removed, since they are done again.
    """
    step = last_step(request, run_dir, found)
    clear_saving(run_dir.checkpoints)
    if forgotten := run_dir.drop_metrics_after(step if step else -1):
        tell(forgotten)
    if not step:
        shutil.rmtree(run_dir.checkpoints, ignore_errors=True)
        for path in (run_dir.path / LOG, run_dir.metrics, run_dir.notices):
            path.unlink(missing_ok=True)
    record = {"settings": request.as_json(), "digests": dict(found)}
    write_atomically(run_dir.resume, json.dumps(record, indent=1))
    return step


def clear(run_dir: RunDir) -> None:
    """Remove what only a run that has not ended needs."""
    shutil.rmtree(run_dir.checkpoints, ignore_errors=True)
    for path in (*row_files(run_dir).values(), run_dir.resume, run_dir.stop_request, run_dir.stopped):
        path.unlink(missing_ok=True)


def row_files(run_dir: RunDir) -> dict[str, Path]:
    """The rows of tokens that the trainer reads: train, held_out."""
    return {name: run_dir.path / f"{name}_rows.parquet" for name in ("train", "held_out")}


def _changes(
    before: Mapping[str, Any], request: SftRequest, found: Mapping[str, str], allowed: Set[str]
) -> list[str]:
    """What differs from an earlier start, each with both values; of a file the content counts, not its place."""
    settings, now = _flat(before.get("settings", {})), _flat(request.as_json())
    old = dict(before.get("digests", {}))  # absent in the summaries of older versions
    by_content = {option.removeprefix("--") for option in old.keys() & found.keys()}
    names = [name for name in now if name in settings or name.startswith("overrides.")]
    names += [name for name in settings if name.startswith("overrides.") and name not in now]
    changed = [
        f"{name.removeprefix('overrides.')} was {settings.get(name)}, is {now.get(name)}"
        for name in names
        if settings.get(name) != now.get(name) and name not in allowed | by_content
    ]
    return changed + [
        f"the content of {option} is another one"
        for option, digest in found.items()
        if old.get(option, digest) != digest
    ]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Each override a setting of its own, whatever their order."""
    rest = {name: value for name, value in settings.items() if name != "overrides"}
    given = [override.partition("=") for override in settings.get("overrides") or ()]
    return rest | {f"overrides.{key.lstrip('+')}": value for key, _, value in given}

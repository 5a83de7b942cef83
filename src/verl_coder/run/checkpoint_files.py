"""Checkpoints on disk: whole or not there at all, and which of them are kept.

A checkpoint is written into `checkpoints/.saving/global_step_N`, synced, described by a manifest, and renamed to
`checkpoints/global_step_N`; only then does the tracker file name it. So a kill or a full disk at any moment leaves
the older checkpoints and the tracker as they were. Several nodes: the folder must be on a file system that all share.
"""

import json
import math
import os
import re
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from verl_coder.errors import CheckpointError
from verl_coder.files import write_durably

TRACKER = "latest_checkpointed_iteration.txt"
MANIFEST = "manifest.json"
STATE = "verl_coder.json"
"""Our own part of a checkpoint, beside verl's: what the trainer's `checkpoint_state` returned."""
EVALUATED = "verl_coder_evaluated.json"
"""The same behind the evaluation of the checkpoint's step, where the checkpoint was made before it; in no manifest."""
WAITING = "metrics_without_evaluation"
"""Key of STATE: metrics of the step that are not logged yet, because its evaluation has not ended."""
SAVING = ".saving"
_REMOVED = ".removed_"
_NAME = re.compile(r"global_step_(\d+)")
_OF_TRAINING = re.compile(rf"data\.pt|{re.escape(STATE)}|\w+/(optim|extra_state)_.*")


def step_folder(checkpoints: Path, step: int) -> Path:
    """verl's name for the checkpoint of a step."""
    return checkpoints / f"global_step_{step}"


def saved_steps(checkpoints: Path) -> list[int]:
    """Steps whose folder has its final name, in order."""
    if not checkpoints.is_dir():
        return []
    matches = (_NAME.fullmatch(entry.name) for entry in checkpoints.iterdir())
    return sorted(int(match.group(1)) for match in matches if match)


def is_whole(folder: Path, *, to_go_on: bool = True) -> bool:
    """Every file of the manifest is there with its size (a checkpoint without manifest: data.pt is there).

    Without `to_go_on` those may be missing that only training reads: they may have been left out of a copy.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return folder.is_dir() and (not to_go_on or (folder / "data.pt").is_file())
    try:
        sizes = json.loads(manifest.read_text())["files"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    if not sizes or not isinstance(sizes, dict):
        return False
    files = {
        folder / name: size for name, size in sizes.items() if to_go_on or not _OF_TRAINING.fullmatch(name)
    }
    return all(path.is_file() and path.stat().st_size == size for path, size in files.items())


def commit(checkpoints: Path, step: int) -> Path:
    """Make `.saving/global_step_N` the checkpoint of step N; returns its folder. OSError leaves all as before."""
    temporary, final = step_folder(checkpoints / SAVING, step), step_folder(checkpoints, step)
    files = sorted(path for path in temporary.rglob("*") if path.is_file())
    for path in [*files, *(path for path in temporary.rglob("*") if path.is_dir()), temporary]:
        sync(path)
    sizes = {str(path.relative_to(temporary)): path.stat().st_size for path in files}
    write_durably(temporary / MANIFEST, json.dumps({"step": step, "files": sizes}, indent=1))
    sync(temporary)
    if not (checkpoints / TRACKER).exists():
        # None yet. A kill between the rename and the name then leaves no whole checkpoint beside a missing tracker.
        write_durably(checkpoints / TRACKER, "0")
    if final.exists() or final.is_symlink():
        # Of a save that a kill cut off between the rename and the tracker: that step was trained again.
        _remove(final)
    temporary.rename(final)
    try:
        sync(checkpoints)
        write_durably(checkpoints / TRACKER, str(step))
    except OSError:
        shutil.rmtree(final, ignore_errors=True)
        raise
    sync(checkpoints)
    clear_saving(checkpoints)
    return final


def state_file(folder: Path) -> Path:
    """The file that holds the last `checkpoint_state` of a checkpoint."""
    evaluated = folder / EVALUATED
    return evaluated if evaluated.is_file() else folder / STATE


def awaits_evaluation(folder: Path) -> bool:
    """Whether the next start evaluates this checkpoint first, and logs its step only then."""
    try:
        state = json.loads(state_file(folder).read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(state, dict) and state.get(WAITING) is not None


def clear_saving(checkpoints: Path) -> None:
    """Remove what a save, or a removal, that did not end has left."""
    for left in (checkpoints / SAVING, *checkpoints.glob(f"{_REMOVED}*")):
        _remove(left, ignore_errors=True)


def _remove(folder: Path, *, ignore_errors: bool = False) -> None:
    """A folder with what is in it; of a link to a folder elsewhere the link alone: what it names may be another's."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=ignore_errors)


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def steps_to_remove(steps: Iterable[int], *, latest: int, keep: int | None, best: int | None) -> list[int]:
    """Which checkpoints to remove so that the last `keep` up to `latest` (None: all) and the best one stay.

    Steps after `latest` are those of a save that never became the tracker's: they are not counted.
    """
    if keep is None:
        return []
    counted = sorted(step for step in steps if step <= latest)
    kept = {*counted[-max(keep, 1) :], latest, best}
    return [step for step in counted if step not in kept]


def prune(checkpoints: Path, *, latest: int, keep: int | None, best: int | None) -> list[int]:
    """Remove old checkpoints (see steps_to_remove); returns their steps."""
    removed = steps_to_remove(saved_steps(checkpoints), latest=latest, keep=keep, best=best)
    for step in removed:
        # First out of its name, so that a kill in the middle leaves no half checkpoint under it.
        doomed = checkpoints / f"{_REMOVED}{step}"
        _remove(doomed, ignore_errors=True)
        step_folder(checkpoints, step).rename(doomed)
        _remove(doomed, ignore_errors=True)
    return removed


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def planned_bytes(
    parameters: int,
    adapter: int = 0,
    *,
    contents: Collection[str] = ("model", "optimizer", "extra"),
    adapter_alone: bool = False,
) -> int:
    """What verl writes for one checkpoint, in float32; `adapter`: parameters of LoRA's, 0 where all are trained.

    `contents` and `adapter_alone` are verl's `checkpoint.save_contents` and `checkpoint.save_lora_only`.
    """
    trained = adapter or parameters
    weights = adapter if adapter and adapter_alone else parameters + adapter
    sizes = {
        "model": weights,
        "optimizer": 2 * trained,  # two moments of Adam
        "hf_model": parameters + adapter,
    }
    return 4 * sum(size for name, size in sizes.items() if name in contents)


def is_better(step: int, rate: float, best: tuple[int, float] | None) -> bool:
    """Whether the evaluation after `step` takes the place of `best`, which is (step, pass rate).

    Of equals the later one, which has learnt more that a greedy rate does not show. A best of a later step belongs to
    steps that a resume has forgotten.
    """
    return math.isfinite(rate) and (best is None or best[0] >= step or rate >= best[1])


def read_best(path: Path) -> tuple[int, float] | None:
    """(step, pass rate) of the best checkpoint, None where none was evaluated yet."""
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text())
        step, rate = int(value["step"]), float(value["pass_rate"])
        if not math.isfinite(rate):
            raise ValueError(f"a pass rate of {rate}")
        return step, rate
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path} is broken ({type(error).__name__}: {error}): remove it") from error

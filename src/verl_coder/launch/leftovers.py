"""What a launcher that was killed leaves behind: processes, a scratch folder, shared memory, half a checkpoint."""

import json
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

import psutil
from rich.console import Console

from verl_coder.files import write_atomically
from verl_coder.run.checkpoint_files import clear_saving
from verl_coder.run.run_dir import RunDir
from verl_coder.words import counted

RUN_MARKER = "VERL_CODER_RUN"
"""Environment variable, set to the run's folder in every process of a run."""

_FOLDER = Path("/dev/shm")
_MAPPED = re.compile(rb"/dev/shm/((?:psm|verl_weights)_\w+)$", re.M)
"""Python's own name for `multiprocessing.shared_memory`, and verl's during a weight sync."""
_EVERY_S = 10.0


class SharedMemoryWatch:
    """Notes in `path` what this process's descendants have mapped; call `poll` often, `clear` when they are gone."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0
        self._names: set[str] = set()
        with suppress(OSError, ValueError, TypeError):
            self._names = set(json.loads(path.read_text()))

    def poll(self) -> None:
        """Look, if the last look is old enough."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        children = psutil.Process().children(recursive=True)
        found: set[str] = set().union(*(_mapped(process.pid) for process in children))
        if not found <= self._names:
            self._names |= found
            with suppress(OSError):
                write_atomically(self._path, json.dumps(sorted(self._names)))

    def clear(self) -> int:
        """Unlink what was noted, by a start before this one too; how many there still were."""
        removed = 0
        for name in self._names:
            with suppress(OSError):
                (_FOLDER / name).unlink()
                removed += 1
        self._names.clear()
        self._path.unlink(missing_ok=True)
        return removed


def _mapped(pid: int) -> set[str]:
    try:
        return {name.decode() for name in _MAPPED.findall(Path(f"/proc/{pid}/maps").read_bytes())}
    except OSError:
        return set()


def end_leftovers(run: Path, timeout_s: float = 20.0, *, marker: str = RUN_MARKER) -> int:
    """Kill every process of the run in the folder `run`, but this one and its family; how many.

    They are what a launcher that was killed has left: it could not end them itself.
    """
    family = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    family |= {p.pid for p in psutil.Process().children(recursive=True)}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in family and process.environ().get(marker) == str(run):
                process.kill()
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    psutil.wait_procs(found, timeout=timeout_s)
    return len(found)


def clear_leftovers(run_dir: RunDir, console: Console) -> None:
    """Remove what a launcher that was killed has left: processes, scratch folder, memory, half a checkpoint."""
    ended = end_leftovers(run_dir.path)
    if ended:
        console.print(
            f"ended {counted(ended, 'process', 'processes')} that an earlier start of this run left behind",
            highlight=False,
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

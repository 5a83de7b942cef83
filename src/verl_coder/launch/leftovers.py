"""What a launcher that was killed leaves behind: processes, a scratch folder, shared memory, half a checkpoint."""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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
_SCRATCH = ".scratch"
_SCRATCH_PREFIX = "vc-"


def _note(path: Path, outside: Iterable[str]) -> None:
    """Write down what the run has outside of its folder, and which folder that is: files can be copied."""
    left = {"run": os.path.realpath(path.parent), "outside": sorted(outside)}
    write_atomically(path, json.dumps(left))


def _noted(path: Path) -> set[str]:
    """What a start in this very folder noted: what a copied file names belongs to another run, which may be at work."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        left = json.loads(path.read_text())
        if left["run"] == os.path.realpath(path.parent):
            return {name for name in left["outside"] if isinstance(name, str)}
    return set()


class SharedMemoryWatch:
    """Notes in `path`, a file of the run's folder, what this process's descendants have mapped.

    Call `poll` often, `clear` when they are gone.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0
        self._names = _noted(path)

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
                _note(self._path, self._names)

    def clear(self) -> int:
        """Unlink what was noted, by a start before this one too; how many there still were."""
        removed = 0
        for name in self._names:
            with suppress(OSError):
                (_FOLDER / Path(name).name).unlink()
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


@contextmanager
def scratch_folder(run_dir: RunDir) -> Iterator[Path]:
    """A folder outside of the run's for sockets and the like; a start after a kill finds and removes it."""
    noted = run_dir.path / _SCRATCH
    with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX) as scratch:
        _note(noted, [scratch])
        yield Path(scratch)
    noted.unlink(missing_ok=True)


def clear_leftovers(run_dir: RunDir, console: Console) -> None:
    """Remove what a launcher that was killed has left: processes, scratch folder, memory, half a checkpoint."""
    ended = end_leftovers(run_dir.path)
    if ended:
        console.print(
            f"ended {counted(ended, 'process', 'processes')} that an earlier start of this run left behind",
            highlight=False,
        )
    noted = run_dir.path / _SCRATCH
    for scratch in map(Path, _noted(noted)):
        if scratch.name.startswith(_SCRATCH_PREFIX):
            shutil.rmtree(scratch, ignore_errors=True)
    noted.unlink(missing_ok=True)
    SharedMemoryWatch(run_dir.shared_memory).clear()
    clear_saving(run_dir.checkpoints)
    for path in (run_dir.stop_request, run_dir.stopped, run_dir.phase):
        path.unlink(missing_ok=True)

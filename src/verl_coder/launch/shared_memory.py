"""Named shared memory that nobody unlinks after a kill of a run's processes: vLLM's queues, verl's weights."""

import json
import re
import time
from contextlib import suppress
from pathlib import Path

import psutil

from verl_coder.files import write_atomically

_FOLDER = Path("/dev/shm")
_MAPPED = re.compile(rb"/dev/shm/((?:psm|verl_weights)_\w+)$", re.M)
"""Python's own name for `multiprocessing.shared_memory`, and verl's during a weight sync."""
_EVERY_S = 10.0


class SharedMemoryWatch:
    """Notes in `path` what this process's descendants have mapped; call `poll` often, `clear` when they are gone."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0
        self._names: set[str] = set()
        with suppress(OSError, ValueError):
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

"""Wall time and peak memory of a run over all its starts, also of those that are killed."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from verl_coder.files import write_atomically

_SAMPLE_S = 2.0
_SAMPLE_SHARE = 0.02
"""Of one core: the kernel walks all mapped pages for a sample, 0.4 s for the 58 processes of the smallest run."""
_WRITE_S = 5.0


class MemoryWatch:
    """Call `poll` often; `peak_bytes` is the highest sum over this process's descendants so far.

    Proportional set size counts a page shared by n processes as 1/n of it in each, so that the sum is what
    the run really takes (resident set sizes would count Ray's object store once per process).
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._next = 0.0

    def poll(self) -> None:
        """Take a sample if the last one is old enough."""
        if time.monotonic() < self._next:
            return
        began, total = time.process_time(), 0
        for process in psutil.Process().children(recursive=True):
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        self.peak_bytes = max(self.peak_bytes, total)
        self._next = time.monotonic() + max(_SAMPLE_S, (time.process_time() - began) / _SAMPLE_SHARE)


class WallClock:
    """Adds this start to `path`, as JSON {"wall_s", "peak_memory_bytes"}; call `poll` often.

    `on_error` is told of a file that cannot be written, and told again only after a write that went well.
    """

    def __init__(self, path: Path, on_error: Callable[[OSError], None] = lambda _: None) -> None:
        self._path, self._on_error, self._failing = path, on_error, False
        before = json.loads(path.read_text()) if path.is_file() else {}
        self._wall_s: float = before.get("wall_s", 0.0)
        self._peak_bytes: int = before.get("peak_memory_bytes", 0)
        self._memory, self._started = MemoryWatch(), time.monotonic()
        self._next = self._started + _WRITE_S

    def poll(self) -> None:
        """Measure, and now and then write."""
        self._memory.poll()
        if time.monotonic() >= self._next:
            self.write()
            self._next = time.monotonic() + _WRITE_S

    def write(self) -> None:
        """Write what it is by now."""
        values = {
            "wall_s": self._wall_s + time.monotonic() - self._started,
            "peak_memory_bytes": max(self._peak_bytes, self._memory.peak_bytes),
        }
        try:
            write_atomically(self._path, json.dumps(values))
        except OSError as error:
            if not self._failing:
                self._on_error(error)
            self._failing = True
        else:
            self._failing = False

"""Wall time and peak memory of a run over all its starts, also of those that are killed."""

import json
import time
from contextlib import suppress
from pathlib import Path

from verl_coder.files import write_atomically
from verl_coder.trainer.memory import MemoryWatch

_EVERY_S = 5.0


class WallClock:
    """Adds this start to `path`, as JSON {"wall_s", "peak_memory_bytes"}; call `poll` often."""

    def __init__(self, path: Path) -> None:
        self._path = path
        before = json.loads(path.read_text()) if path.is_file() else {}
        self._wall_s: float = before.get("wall_s", 0.0)
        self._peak_bytes: int = before.get("peak_memory_bytes", 0)
        self._memory, self._started = MemoryWatch(), time.monotonic()
        self._next = self._started + _EVERY_S

    def poll(self) -> None:
        """Measure, and now and then write."""
        self._memory.poll()
        if time.monotonic() >= self._next:
            self.write()
            self._next = time.monotonic() + _EVERY_S

    def write(self) -> None:
        """Write what it is by now; a full disk is no reason to stop."""
        values = {
            "wall_s": self._wall_s + time.monotonic() - self._started,
            "peak_memory_bytes": max(self._peak_bytes, self._memory.peak_bytes),
        }
        with suppress(OSError):
            write_atomically(self._path, json.dumps(values))

"""Wall time and peak memory of a run over all its starts, also of those that are killed."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from verl_coder.files import write_atomically
from verl_coder.launch.memory import MemoryWatch

_EVERY_S = 5.0


class WallClock:
    """Adds this start to `path`, as JSON {"wall_s", "peak_memory_bytes"}; call `poll` often.

    A file that cannot be written is told to `on_error`, once until it can be again.
    """

    def __init__(self, path: Path, on_error: Callable[[OSError], None] = lambda _: None) -> None:
        self._path, self._on_error, self._failing = path, on_error, False
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

"""What the process of a debugged program leaves to the one after it, however it ends."""

import json
import os
from typing import Any, NoReturn


class Note:
    """What the next process must know, a line of a file each time that it changes: a program may end at any moment."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def keep(self, **known: Any) -> None:
        """Add a line; what it says counts from then on."""
        view = memoryview(json.dumps(known).encode() + b"\n")
        while view:
            view = view[os.write(self._descriptor, view) :]

    def leave(self, **known: Any) -> NoReturn:
        """The last line, and the end of this process."""
        self.keep(**known)
        os._exit(0)


def read_note(note: int) -> dict[str, Any]:
    """The last line that is whole; nothing where the program has spoilt it."""
    lines = os.pread(note, os.fstat(note).st_size, 0).split(b"\n")
    try:
        known = json.loads(lines[-2]) if len(lines) > 1 else {}
    except (ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}

"""Warnings of a run, each said once: the trainer and its helpers write them, the launcher shows them."""

import json
import os
import sys
import time
from pathlib import Path


class Notices:
    """Appends {"key", "text", "time"} to a file, the kind before the text; a key is said once per process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: set[str] = set()

    def say(self, key: str, text: str, kind: str = "warning") -> None:
        """Say `text`, unless something was said under `key` before; `kind` is warning or note."""
        if key in self._said:
            return
        self._said.add(key)
        print(f"{kind}: {text}", file=sys.stderr, flush=True)
        line = json.dumps({"key": key, "text": f"{kind}: {text}", "time": time.time()}) + "\n"
        try:
            # One write of a short line to a file opened for appending: several processes do not mix.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError:
            # A full disk: it stands in the log at least, and may be said again later.
            self._said.discard(key)


class NoticeReader:
    """Follows the file from its present end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.is_file() else 0

    def new(self) -> list[str]:
        """Texts since the last call."""
        if not self._path.is_file():
            return []
        texts = []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                try:
                    texts.append(str(json.loads(line)["text"]))
                except (json.JSONDecodeError, KeyError):
                    continue  # the line that a full disk cut short
        return texts

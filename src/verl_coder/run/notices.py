"""Warnings of a run, each said once: the trainer and its helpers write them, the launcher shows them."""

import json
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class Notices:
    """Appends {"key", "text", "time"} to a file, the kind before the text; a key is said once per process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: set[str] = set()
        self._unwritten: list[str] = []

    def say(self, key: str, text: str, kind: str = "warning") -> None:
        """Say `text`, unless something was said under `key` before; `kind` is warning or note."""
        if key in self._said:
            return
        self._said.add(key)
        with suppress(OSError):  # the log may be on a full disk, too
            print(f"{kind}: {text}", file=sys.stderr, flush=True)
        self._unwritten.append(json.dumps({"key": key, "text": f"{kind}: {text}", "time": time.time()}))
        self.write_unwritten()

    def write_unwritten(self) -> None:
        """Write what a full disk did not take before; call it now and then."""
        with suppress(OSError):
            while self._unwritten:
                _append(self._path, self._unwritten[0])
                self._unwritten.pop(0)


def _append(path: Path, line: str) -> None:
    """One write of a short line to a file opened for appending: several processes do not mix."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        # A full disk may have cut the line before short.
        start = "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""
        data = f"{start}{line}\n".encode()
        if os.write(descriptor, data) < len(data):
            raise OSError(f"{path} took a part of a line only")
    finally:
        os.close(descriptor)


def parse_notices(lines: Iterable[bytes]) -> list[str]:
    """Texts of the whole lines, each in one line; a line that a full disk cut short is left out."""
    texts = []
    for line in lines:
        try:
            texts.append(" ".join(str(json.loads(line)["text"]).split()))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return texts


class NoticeReader:
    """Follows the file from its present end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.is_file() else 0

    def new(self) -> list[str]:
        """Texts since the last call."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = [line for line in file if line.endswith(b"\n")]
        self._offset += sum(len(line) for line in lines)
        return parse_notices(lines)

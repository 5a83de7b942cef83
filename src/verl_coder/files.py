"""Files written whole or not at all: a temporary file beside the target, then a rename. And locks."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from verl_coder.errors import CheckpointError, ConfigError


@contextmanager
def locked(path: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock file `path`; it goes with the process. ConfigError(otherwise) where another process has it."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(otherwise) from error
        yield


def json_lines(path: Path) -> Iterator[Any]:
    """The values of a file of JSON lines, one by one; json.JSONDecodeError where a line is none.

    str.splitlines would cut at U+2028 and others, which stand as they are in what others have written.
    """
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file)


def read_object(path: Path, cure: str) -> dict[str, Any]:
    """The JSON object in a file that a run has written; CheckpointError with the `cure` where it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, no UTF-8
        raise CheckpointError(f"{path} is broken ({error}): {cure}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is broken (it holds {found!r:.40}): {cure}")
    return found


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` (made if missing) that becomes `path` when the block ends well.

    Where the block raises, the temporary file goes and an older `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def keep_apart(written: Mapping[str, Path], read: Mapping[str, Iterable[Path]]) -> None:
    """ConfigError where a file that will be written is one that is read, or two that are written are one.

    Both by the names of the options that give them. Links and other spellings of one file are that file.
    """
    known: list[tuple[str, Path]] = [(name, path) for name, paths in read.items() for path in paths]
    for name, path in written.items():
        other = next((other for other, found in known if _is_one_file(path, found)), None)
        if other is not None:
            raise ConfigError(f"{name} {path} is the file of {other}, too: give it a place of its own")
        known.append((name, path))


def _is_one_file(first: Path, second: Path) -> bool:
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    try:
        return first.samefile(second)
    except OSError:
        return False  # one of them is not there yet


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, the whole file or nothing."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_generated(path: Path, text: str, command: str, arguments: Sequence[str]) -> None:
    """Write the page that `command` makes from the code; with --check ConfigError where it is not `text`."""
    if "--check" not in arguments:
        write_atomically(path, text)
        print(f"wrote {path}")
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{path} is out of date: {command}")


def write_durably(path: Path, text: str) -> None:
    """Write the whole file or nothing, and be sure that its bytes are on the disk before returning; OSError if not."""
    with whole_file(path) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def append_line(path: Path, line: str) -> None:
    """Append a line and sync it; when the disk is full the file is as before and OSError is raised."""
    # Unbuffered: what a buffer still held would be written, in part, after the file was cut back.
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        left = memoryview(line.encode() + b"\n")
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)
            raise

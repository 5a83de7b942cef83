"""Files written whole or not at all: a temporary file beside the target, then a rename. And how files are read."""

import fcntl
import hashlib
import io
import json
import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from verl_coder.errors import CheckpointError, ConfigError, DataError, FileWriteError

_LOG = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock file `path`; it goes with the process. ConfigError(otherwise) where another process has it."""
    with writing(path):
        file = path.open("w")
    with file:
        taken = took_lock(file)
        if taken is False:
            raise ConfigError(otherwise)
        if taken is None:
            _LOG.warning("%s: its file system takes no locks: see to it that one process writes there", path)
        yield


def took_lock(file: IO[Any] | int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Whether the lock of an open file is ours now: False where another process holds it.

    None where it takes no lock at all (some network disks), which says nothing of others.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second by CIFS
        return False
    except OSError:
        return None
    return True


def json_lines(path: Path) -> Iterator[Any]:
    """The values of a file of JSON lines, one by one; DataError names the first line that holds none.

    Lines end with \\n alone, as those of a binary file do: str.splitlines would cut at U+2028 and others, which stand
    as they are in what others have written, and a damaged byte may be any other end of a line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path} is damaged in line {number} ({error})") from error
            yield value


def read_text(path: Path, otherwise: str, *, place: str = "") -> str:
    """The text of a file; ConfigError where it cannot be read, at `place` (else its path), with `otherwise` to do."""
    place = place or str(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place} is no text in UTF-8 ({error.reason}): {otherwise}") from error
    except OSError as error:
        raise ConfigError(f"{place} cannot be read ({error.strerror or error}): {otherwise}") from error


def read_json(path: Path, otherwise: str) -> dict[str, Any]:
    """The JSON object in a file; ConfigError, as of `read_text`, where it holds none."""
    try:
        found = json.loads(read_text(path, otherwise))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON ({error}): {otherwise}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no JSON object: {otherwise}")
    return found


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder: False, too, for what can be no name of one, as a long text."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def given_folder(path: Path, option: str = "") -> Path:
    """A folder that a user names (by `option`), absolute, `~` filled in; ConfigError where there is none."""
    folder, place = path.expanduser(), f"{option} {path}".strip()
    if not is_there(folder):
        raise ConfigError(f"{place}: no such folder" if option else f"no such folder: {path}")
    if not folder.is_dir():
        raise ConfigError(f"{place} is a file: name a folder")
    return folder.resolve()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """FileWriteError, which names `path`, where what the block writes cannot be written."""
    try:
        yield
    except FileWriteError:
        raise
    except OSError as error:
        raise FileWriteError(error.errno, error.strerror or str(error), str(path)) from error


def own_mark() -> str:
    """This process in the name of a file that it may leave behind."""
    return f"{os.getpid()}@{socket.gethostname()}"


def was_left(mark: str) -> bool:
    """Whether the process of such a mark was of this machine, and is no more."""
    pid, _, host = mark.partition("@")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return False


def sweep(left: Iterable[Path], mark: Callable[[str], str]) -> None:
    """Remove those files and folders that a killed process of this machine left: `mark` finds it in a name."""
    for path in left:
        if was_left(mark(path.name)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def free_bytes(place: Path) -> int:
    """Of the disk that holds `place`, or would."""
    place = place.resolve()
    return shutil.disk_usage(next(path for path in (place, *place.parents) if path.exists())).free


def refuse_file_in_the_way(folder: Path, option: str) -> None:
    """ConfigError of `option` where a file stands at the place of the folder that it names, or of one above it."""
    place = next((path for path in (folder, *folder.parents) if is_there(path)), folder)
    if is_there(place) and not place.is_dir():
        raise ConfigError(f"{option} {folder}: {place} is a file: name another folder")


def refuse_used_folder(out: Path) -> None:
    """ConfigError where --out is there already and no empty folder, or a file stands above it."""
    if is_there(out) and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not an empty folder: remove it or name another with --out")
    refuse_file_in_the_way(out, "--out")


def make_folder(path: Path) -> None:
    """Make the folder and those above it; FileWriteError where that cannot be."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def read_object(path: Path, cure: str) -> dict[str, Any]:
    """`read_json` of a file that a run has written; CheckpointError where it holds none."""
    try:
        return read_json(path, cure)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` (made if missing) that becomes `path` when the block ends well.

    Where the block raises, the temporary file goes and an older `path` stays as it was; FileWriteError where it was an
    OSError.
    """
    with writing(path):
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
    """Write the whole file or nothing, its bytes on the disk before this returns; FileWriteError if not."""
    with whole_file(path) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def append_line(path: Path, line: str) -> None:
    """Append a line and sync it; when the disk is full the file is as before and FileWriteError is raised."""
    # Unbuffered: what a buffer still held would be written, in part, after the file was cut back.
    with writing(path), path.open("ab", buffering=0) as file:
        append_whole(file, line.encode() + b"\n", sync=True)


def append_whole(file: io.FileIO, data: bytes, *, sync: bool) -> None:
    """Write behind the end of an unbuffered file; OSError leaves it as it was."""
    before = file.seek(0, os.SEEK_END)
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
        if sync:
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):  # the first error says more
            file.truncate(before)
        raise

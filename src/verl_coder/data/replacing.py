"""The files of a folder change together: one writer at a time, and a writing that was broken off is seen by readers."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verl_coder.errors import DataError
from verl_coder.files import is_there, make_folder, took_lock, write_atomically, writing

MARK = ".half-written"
"""In a folder while some of its files are the new ones and some the old; a writer that is killed leaves it."""
_LOOK_S = 0.1


@contextmanager
def replacing(folder: Path) -> Iterator[None]:
    """The block puts files in place of older ones: another writer waits, and a block that raises leaves the mark."""
    make_folder(folder)
    with _alone(folder):
        write_atomically(folder / MARK, "Old files may stand beside new ones: make them again.\n")
        yield
        with writing(folder / MARK):
            (folder / MARK).unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder itself, which is none of its files and goes with the process."""
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while took_lock(descriptor) is False:
            time.sleep(_LOOK_S)
        yield
    finally:
        os.close(descriptor)


def refuse_half_written(folder: Path) -> None:
    """DataError where a folder has files of two writings."""
    if is_there(folder / MARK):
        raise DataError(
            f"{folder} holds files of two writings: a command writes there now, or was ended while it did: wait, "
            "or run it again"
        )

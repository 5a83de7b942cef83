"""A limit that all processes of a machine share: calls at a time, and calls a second. Knows no verl.

The agent loops of a run are several processes, so a semaphore in one of them limits nothing. Here a place is a lock on
a file (flock): the kernel gives it back however its process ends. The rate is one time in a file, the earliest moment
of the next call on the machine's monotonic clock (the generic cell rate algorithm, ITU-T I.371), changed under a lock.
Machines do not share it: a cluster has it once for each.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import random
import struct
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

_POLL_S = (0.002, 0.008)
"""Least and most between two looks for a free place; random, so that waiting processes do not look in step."""
_TIME = struct.Struct("d")


class SharedLimit:
    """`async with limit.place():` around a call. `places` 0 and `per_s` 0: no limit of that kind."""

    def __init__(self, name: str, *, places: int = 0, per_s: float = 0.0, folder: Path | None = None) -> None:
        """`name` says whose limit it is: processes that give the same one share it."""
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        parent = folder or Path(tempfile.gettempdir()) / f"verl-coder-limits-{os.getuid()}"
        self.folder = parent / digest
        self.places, self.per_s = places, per_s

    @contextlib.asynccontextmanager
    async def place(self, *, is_new: bool = True) -> AsyncIterator[None]:
        """Wait for the rate, then for a free place; both are given in no order. Of a call that is not new the place."""
        if not self.places and not self.per_s:
            yield
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.per_s and is_new:
            await asyncio.sleep(self._wait_s())
        if not self.places:
            yield
            return
        descriptor = self._try()
        while descriptor is None:
            await asyncio.sleep(random.uniform(*_POLL_S))
            descriptor = self._try()
        try:
            yield
        finally:
            os.close(descriptor)

    def _try(self) -> int | None:
        """The locked file of a free place; None where all are taken."""
        for number in random.sample(range(self.places), self.places):
            descriptor = _open(self.folder / f"place-{number}")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            return descriptor
        return None

    def _wait_s(self) -> float:
        """Take the next moment that the rate allows, and say how far it is."""
        descriptor = _open(self.folder / "next")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for microseconds
            kept = os.pread(descriptor, _TIME.size, 0)
            now = time.monotonic()
            moment = max(now, _TIME.unpack(kept)[0] if len(kept) == _TIME.size else now)
            # A time that was left by another boot lies in a future that never comes.
            moment = min(moment, now + 3600.0)
            os.pwrite(descriptor, _TIME.pack(moment + 1.0 / self.per_s), 0)
            return moment - now
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

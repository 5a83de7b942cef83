"""Output of a running program: drained all the time, kept up to a cap, head and tail."""

import asyncio
import os
from collections.abc import Callable

_READ_BYTES = 1 << 16
_READS_PER_WAKE = 8
_FLOOD_PAUSE_S = 0.002


class Capture:
    """Reads one pipe without blocking; beyond `cap_bytes` the first and the last half are kept.

    `on_cut` is called once, as soon as there is more than that.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        cap_bytes: int,
        *,
        on_cut: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._half = cap_bytes // 2
        self._tail_bytes = cap_bytes - self._half
        self._head: bytearray = bytearray()
        self._tail: bytearray = bytearray()
        self._dropped = 0
        self._reading = True
        self._on_cut = on_cut
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._drain)

    def _drain(self) -> None:
        for _ in range(_READS_PER_WAKE):
            if not self._read_once():
                return
        if self._dropped:
            # A flood: reading pauses, so that the loop can serve others.
            self._stop_reading()
            self._loop.call_later(_FLOOD_PAUSE_S, self._resume)

    def _read_once(self) -> bool:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._stop_reading()
            return False
        self._keep(data)
        return len(data) > 4096 or bool(self._tail)

    def _keep(self, data: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data
            excess = len(self._tail) - self._tail_bytes
            if excess > 0 and self._on_cut is not None:
                on_cut, self._on_cut = self._on_cut, None
                on_cut()
            # Trimmed in large steps, each of which moves the whole tail.
            if excess > self._half // 2 + _READ_BYTES:
                del self._tail[:excess]
                self._dropped += excess

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._descriptor)

    def _resume(self) -> None:
        if self._descriptor >= 0 and not self._reading:
            self._reading = True
            self._loop.add_reader(self._descriptor, self._drain)

    def take(self) -> bytes:
        """What came since the last call, cut to the cap; the capture goes on (for sessions)."""
        self._read_rest()
        result = self._result()
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0
        return result

    def _read_rest(self) -> None:
        if self._descriptor < 0:
            return
        # Bounded, because a descriptor that was passed to another process may still be written to.
        for _ in range(64):
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except OSError:
                break
            if not data:
                break
            self._keep(data)

    def _result(self) -> bytes:
        excess = len(self._tail) - self._tail_bytes
        if excess > 0:
            del self._tail[:excess]
            self._dropped += excess
        if not self._dropped:
            return bytes(self._head + self._tail)
        mark = f"\n... [{self._dropped} bytes of output cut here] ...\n".encode()
        return bytes(self._head) + mark + bytes(self._tail)

    def close(self) -> bytes:
        """Read what is left, close the pipe, return all of it."""
        if self._descriptor < 0:
            return b""
        self._stop_reading()
        self._read_rest()
        os.close(self._descriptor)
        self._descriptor = -1
        return self._result()

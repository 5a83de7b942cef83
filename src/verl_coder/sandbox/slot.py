"""The server's end of a slot: sends one request to the waiting program, learns how it ended."""

import asyncio
import contextlib
import marshal
import os
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from verl_coder.sandbox.guest.slot_config import EXIT_FORMAT, KILLED_BY_ORDER, KILLED_FOR_MEMORY, UNCLEAN
from verl_coder.sandbox.types import signal_name

OVER_MEMORY = "killed: over the memory limit"
_INLINE_BYTES = 60_000
WATCH_AFTER_S = 0.03
_KILL_GRACE_S = 3.0
_MAX_RUNS = 2000


class SlotLost(Exception):
    """The slot died or did not obey: the service's failure, never the program's."""


@dataclass(frozen=True, kw_only=True)
class ProgramExit:
    """How a program's main process ended: `return_code` is negative for a signal, `ordered` if the server did it."""

    return_code: int
    timed_out: bool
    out_of_memory: bool
    wall_s: float
    cpu_s: float
    ordered: bool

    @property
    def how(self) -> str:
        """In words; empty where the server ended it."""
        if self.out_of_memory:
            return OVER_MEMORY
        code = self.return_code
        if self.ordered and code == -signal.SIGKILL:  # any other end came before the order
            return ""
        return f"it left with exit code {code}" if code >= 0 else f"it was ended by {signal_name(code)}"


class Slot:
    """One keeper process and its two sockets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, number: int, flavour: str) -> None:
        self.number = number
        self.flavour = flavour
        self.loop = loop
        self.pid = 0
        self.dead = False
        self.stale = False
        self.runs = 0
        self.on_stranger: Callable[[], None] = lambda: None
        """Called where a process has died in which no program runs: then somebody else is killing."""
        self.ready: asyncio.Future[None] = loop.create_future()
        self._exit: asyncio.Future[tuple[int, int, int]] | None = None
        self._memory: asyncio.Future[int] | None = None
        self._timers: tuple[asyncio.TimerHandle, ...] = ()
        self._started = 0.0
        self._timed_out = self._ordered = False
        self._status, self.keeper_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control, self.keeper_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._status.setblocking(False)
        self._control.setblocking(False)
        loop.add_reader(self._status.fileno(), self._on_status)

    def handed_over(self) -> None:
        """Close our copies of the keeper's ends, once the zygote has them."""
        self.keeper_status.close()
        self.keeper_control.close()

    def _on_status(self) -> None:
        try:
            message = self._status.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        kind = message[:1]
        if kind == b"X":
            _, status, flags, cpu_us = struct.unpack(EXIT_FORMAT, message)
            if self._exit is not None and not self._exit.done():
                self._exit.set_result((status, flags, cpu_us))
            elif not flags & KILLED_BY_ORDER:
                # Somebody else killed the waiting process; the keeper has forked another.
                self.stale = True
                self.on_stranger()
        elif kind == b"P":
            self.pid = int(message[1:])
        elif kind == b"R" and not self.ready.done():
            self.ready.set_result(None)
        elif kind == b"M" and self._memory is not None and not self._memory.done():
            self._memory.set_result(struct.unpack("=Q", message[1:9])[0])
        elif kind == b"E":
            self._lose(message[1:].decode(errors="replace"))
        elif not kind:
            self.on_stranger()
            self._lose("its keeper died")

    def _lose(self, reason: str) -> None:
        if self.dead:
            return
        self.dead = True
        self.loop.remove_reader(self._status.fileno())
        self._status.close()
        self._control.close()
        error = SlotLost(f"slot {self.number}: {reason}")
        for future in (self.ready, self._exit, self._memory):
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()

    def order(self, kind: bytes, *, memory_bytes: int = 0) -> None:
        """Order the keeper: K kill, I interrupt, H keep the files, W watch memory, S seldom, M report memory.

        An order is for the program that was sent last, H for the next one; the keeper ignores a late one.
        """
        if not self.dead:
            sequence = self.runs + 1 if kind == b"H" else self.runs
            with contextlib.suppress(OSError):
                self._status.send(kind + struct.pack("=IQ", sequence, memory_bytes))

    def send(self, spec: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Hand the request to the waiting program."""
        self.runs += 1
        message = b"I" + marshal.dumps(spec)
        memory = -1
        if len(message) > _INLINE_BYTES:
            memory = os.memfd_create("request")
            os.write(memory, message[1:])
            message = b"F"
        try:
            socket.send_fds(self._control, [message], [*descriptors, memory] if memory >= 0 else descriptors)
        except OSError as error:
            raise SlotLost(f"slot {self.number}: {error}") from error
        finally:
            if memory >= 0:
                os.close(memory)

    def begin(
        self, spec: dict[str, Any], descriptors: Sequence[int], *, timeout_s: float, memory_bytes: int = 0
    ) -> None:
        """Send one request, whose descriptors may be closed afterwards; SlotLost when the slot is gone."""
        if self.dead:
            raise SlotLost(f"slot {self.number} is gone")
        self._exit = self.loop.create_future()
        self._started = self.loop.time()
        self._timed_out = self._ordered = False
        self.send(spec, descriptors)
        self._timers = (
            self.loop.call_later(WATCH_AFTER_S, partial(self.order, b"W", memory_bytes=memory_bytes)),
            self.loop.call_later(timeout_s, self._on_deadline),
        )

    async def end(self) -> ProgramExit:
        """Wait for the end of what was begun; SlotLost when the service failed.

        A slot that was ordered to stop and is lost was stopped: what its program did to its keeper's time is no failure
        of the service.
        """
        assert self._exit is not None
        try:
            status, flags, cpu_us = await self._exit
        except SlotLost:
            if not self._ordered:
                raise
            status, flags, cpu_us = signal.SIGKILL, KILLED_BY_ORDER, 0
        except asyncio.CancelledError:
            # The client is gone: the slot's state is unknown, so it is thrown away.
            self.kill()
            raise
        finally:
            for timer in self._timers:
                timer.cancel()
            self._exit = None
        return_code = os.waitstatus_to_exitcode(status)
        # Where somebody else kills, this may be the end of one that waited, and the request is another one's.
        stranger = return_code == -signal.SIGKILL and not flags & (KILLED_BY_ORDER | KILLED_FOR_MEMORY)
        if stranger or flags & UNCLEAN or self.runs >= _MAX_RUNS:
            self.stale = True
        return ProgramExit(
            return_code=return_code,
            timed_out=self._timed_out and bool(flags & KILLED_BY_ORDER),
            out_of_memory=bool(flags & KILLED_FOR_MEMORY),
            ordered=bool(flags & KILLED_BY_ORDER),
            wall_s=self.loop.time() - self._started,
            cpu_s=cpu_us / 1e6,
        )

    @property
    def running(self) -> bool:
        """Whether something was begun whose end nobody has seen."""
        return self._exit is not None

    def _on_deadline(self) -> None:
        self._timed_out = True
        self.stop()

    def stop(self) -> None:
        """End the running program; a keeper that does not obey is killed."""
        self._ordered = True
        self.order(b"K")
        pending = self._exit
        self.loop.call_later(_KILL_GRACE_S, lambda: self.kill() if pending and not pending.done() else None)

    async def memory_in_use(self) -> int:
        """Bytes of private memory and tmpfs that the running program holds."""
        if self._memory is None or self._memory.done():
            self._memory = self.loop.create_future()
            self.order(b"M")
        return await asyncio.wait_for(asyncio.shield(self._memory), 5.0)

    def kill(self) -> None:
        """Kill the keeper, and with it (namespaces) everything inside."""
        if self.dead:
            return
        self._lose("killed")

    def close(self) -> None:
        """Let the keeper end by itself: it cleans up when its socket closes."""
        self._lose("closed")

    def force(self) -> None:
        """SIGKILL to the keeper's process."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

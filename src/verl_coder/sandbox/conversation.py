"""One long-lived program and its channel on the server's side: a command, what it printed, its reply, its end."""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from verl_coder.sandbox.capture import Capture
from verl_coder.sandbox.replies import read_reply
from verl_coder.sandbox.slot import WATCH_AFTER_S, ProgramExit, Slot, SlotLost

_FOREVER_S = 7 * 86400.0
_INTERRUPT_GRACE_S = 2.0
_MAX_LINE = 8 << 20
_REST_AFTER_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One command of a long-lived program: its reply ({} when it gave none) and what it printed."""

    reply: dict[str, Any]
    stdout: str
    stderr: str
    wall_s: float
    timed_out: bool
    alive: bool


class Conversation:
    """A slot whose program answers commands over a channel."""

    def __init__(self, slot: Slot, *, output_cap: int) -> None:
        self.slot = slot
        self.loop = slot.loop
        self.used_at = time.monotonic()
        self.alive = True
        self._cap = output_cap
        self._buffer = b""
        self._lock = asyncio.Lock()
        self._end: asyncio.Future[Any] | None = None
        self._to_rest: asyncio.TimerHandle | None = None
        self._rest_owed = False
        self._reader: asyncio.Future[dict[str, Any]] | None = None

    @property
    def idle_s(self) -> float:
        """Seconds since the end of the last command; 0 in the middle of one."""
        return 0.0 if self._lock.locked() else time.monotonic() - self.used_at

    def begin(self, spec: dict[str, Any], null: int, *, memory_bytes: int) -> None:
        """Start the program; SlotLost when the slot is gone."""
        self._kind = spec["kind"]
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            self._channel, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            theirs.callback(channel.close)
            ours.callback(self._channel.close)
            self._channel.setblocking(False)
            descriptors = [null]
            captures = []
            for _ in range(2):
                read, write = os.pipe()
                theirs.callback(os.close, write)
                captures.append(Capture(self.loop, read, self._cap))
                ours.callback(captures[-1].close)
                descriptors.append(write)
            self._stdout, self._stderr = captures
            self.slot.begin(
                spec, [*descriptors, channel.fileno()], timeout_s=_FOREVER_S, memory_bytes=memory_bytes
            )
            self._end = asyncio.ensure_future(self.slot.end())
            self._end.add_done_callback(_note_outcome)
            # Its slot may be another program's by then, where it is closed at once: `finish` takes it back.
            self._to_rest = self.loop.call_later(_REST_AFTER_S, self._rest)
            # Begun: what is ours stays open until `finish`.
            ours.pop_all()

    async def say(self, command: dict[str, Any], *, timeout_s: float) -> Exchange:
        """Send one command; it is interrupted at its time limit, and a program that ignores that is ended."""
        async with self._lock:
            self.used_at = time.monotonic()
            started = self.loop.time()
            timed_out = False
            reply: dict[str, Any] = {}
            reader = None
            # A short command, as most are, costs the keeper nothing.
            watched = self.loop.call_later(WATCH_AFTER_S, self.slot.order, b"W")
            try:
                if not self.alive:
                    raise EOFError("the session has ended")
                reader = self._reader = asyncio.ensure_future(self._ask(json.dumps(command).encode() + b"\n"))
                done, _ = await asyncio.wait((reader,), timeout=timeout_s)
                for _ in range(2):
                    if done:
                        break
                    timed_out = True
                    self.slot.order(b"I")
                    done, _ = await asyncio.wait((reader,), timeout=_INTERRUPT_GRACE_S / 2)
                if not done or reader.cancelled():
                    self.alive = False
                else:
                    reply = reader.result()
            except (OSError, ValueError, EOFError):
                self.alive = False
            except BaseException:
                # The client is gone: the reply that is still to come must not be taken for that of a later command.
                self.alive = False
                self.slot.kill()
                raise
            finally:
                if reader is not None:
                    reader.cancel()
                watched.cancel()
                if self._rest_owed or self.loop.time() - started >= WATCH_AFTER_S:
                    self._rest_owed = False
                    self.slot.order(b"S")
                self.used_at = time.monotonic()
            if not self.alive:
                self.slot.stop()
            return Exchange(
                reply=reply,
                stdout=self._stdout.take().decode("utf-8", "replace"),
                stderr=self._stderr.take().decode("utf-8", "replace"),
                wall_s=self.loop.time() - started,
                timed_out=timed_out,
                alive=self.alive,
            )

    def _rest(self) -> None:
        """The program has begun; its memory is watched closely while it runs a command."""
        self._rest_owed = self._lock.locked()
        if not self._rest_owed:
            self.slot.order(b"S")

    async def _ask(self, command: bytes) -> dict[str, Any]:
        with contextlib.suppress(BlockingIOError):
            if self._buffer or self._channel.recv(1, socket.MSG_PEEK):
                raise EOFError("the program answered what it was not asked")
        # A program that does not read may hold up a long command for ever.
        await self.loop.sock_sendall(self._channel, command)
        while b"\n" not in self._buffer:
            data = await self.loop.sock_recv(self._channel, 1 << 16)
            if not data or len(self._buffer) > _MAX_LINE:
                raise EOFError("the program ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return read_reply(line, self._kind)

    async def finish(self) -> ProgramExit | None:
        """Close the channel and wait for the program's end; its ProgramExit, or None when the slot was lost."""
        self.alive = False
        if self._to_rest is not None:
            self._to_rest.cancel()
        if self._reader is not None:
            # A command in progress ends now; nobody may read a descriptor that is closed.
            self._reader.cancel()
        # One that stands still would not see that its channel is closed.
        self.slot.order(b"W")
        self._channel.close()
        try:
            if self._end is None:
                return None
            done, _ = await asyncio.wait((self._end,), timeout=_INTERRUPT_GRACE_S)
            if not done:
                self.slot.stop()
            return await self._end
        except SlotLost:
            return None
        except BaseException:
            # Nobody waits for the end of its program any more, so that its slot must not run another one.
            self.slot.kill()
            raise
        finally:
            self._stdout.close()
            self._stderr.close()


def _note_outcome(task: "asyncio.Future[Any]") -> None:
    """Take the exception of a task that may be left alone, or asyncio would report it."""
    if not task.cancelled():
        task.exception()


async def run_cells(
    conversation: Conversation, cells: Sequence[str], *, cell_timeout_s: float, total_timeout_s: float
) -> tuple[list[dict[str, Any]], Literal["done", "late", "ended"]]:
    """Cells one after the other; their results so far, and whether all ran, the time ran out or the program ended."""
    deadline = conversation.loop.time() + total_timeout_s
    results: list[dict[str, Any]] = []
    for cell in cells:
        left_s = deadline - conversation.loop.time()
        if left_s <= 0:
            return results, "late"
        limit_s = min(left_s, cell_timeout_s) if cell_timeout_s else left_s
        exchange = await conversation.say({"code": cell}, timeout_s=limit_s)
        error = exchange.reply.get("error")
        results.append(
            {
                "stdout": exchange.stdout,
                "stderr": exchange.stderr,
                "display": exchange.reply.get("display") or [],
                "error": [error] if error else [],
            }
        )
        if not exchange.alive:
            return results, "late" if exchange.timed_out else "ended"
        if exchange.timed_out and conversation.loop.time() >= deadline:
            return results, "late"
    return results, "done"

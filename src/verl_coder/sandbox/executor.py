"""Runs requests on slots: descriptors, time, output, and what the outcome is called."""

import asyncio
import base64
import collections
import contextlib
import fcntl
import marshal
import math
import os
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from verl_coder.sandbox.capture import Capture
from verl_coder.sandbox.nursery import JUDGE_FLAVOURS
from verl_coder.sandbox.pool import Pool
from verl_coder.sandbox.slot import OVER_MEMORY, ProgramExit, Slot, SlotLost

_PIPE_SIZE = 1 << 18
_ATTEMPTS = 3
_PAUSES_S = (0.0, 0.05, 0.2)
"""Before a program runs again that an unexplained SIGKILL ended; the next such end counts as the program's own."""
_STRANGER_WAIT_S = 0.05
"""Until the deaths of other processes, killed at the same time, have been noticed."""
_KEPT_OOM_SAMPLES = 4000
_HEAVY_MODULES = ("numpy", "pytest", "dataclass")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One program to run; `memory_mb` -1 is the server's limit.

    `output_cap` bytes of each stream are kept, 0: as many as the server likes; a program that prints more than
    `output_limit` to stdout is ended, -1: there is no such limit. What `judges` runs where no candidate does.
    """

    operation: str
    code: str
    files: dict[str, bytes] = field(default_factory=dict)
    stdin: str | None = None
    timeout_s: float = 10.0
    memory_mb: int = -1
    fetch: Sequence[str] = ()
    output_cap: int = 0
    output_limit: int = -1
    judges: bool = False

    @property
    def flavour(self) -> str:
        """Which slots it runs in: `full` ones have large modules loaded, and cost more to fork."""
        heavy = self.operation == "pytest" or any(name in self.code for name in _HEAVY_MODULES)
        flavour = "full" if heavy and self.operation != "bash" else "lean"
        return f"judge-{flavour}" if self.judges else flavour


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a job: `command` is the JSON object of a CommandResult."""

    command: dict[str, Any]
    files: dict[str, str]
    killed: bool = False
    """By a SIGKILL that neither the server nor a limit sent."""

    @property
    def succeeded(self) -> bool:
        return self.command["status"] == "Finished" and self.command["return_code"] == 0


class Unexplained(Exception):
    """A SIGKILL ended the program that neither the server nor a limit sent: the program runs again."""


@dataclass(frozen=True, kw_only=True)
class _Running:
    """A job that has been sent to its slot."""

    slot: Slot
    job: Job
    stdout: Capture
    stderr: Capture
    cpu_s: int

    def abandon(self) -> None:
        """Kill its slot and drop its output."""
        self.slot.kill()
        self.stdout.close()
        self.stderr.close()


class Executor:
    """Runs jobs on slots of the pool; a job whose slot is lost runs again on another."""

    def __init__(self, pool: Pool, *, output_cap: int, judge_cap: int, fetch_cap: int) -> None:
        self.pool = pool
        self.output_cap = output_cap
        self.judge_cap = judge_cap
        self.fetch_cap = fetch_cap
        self.oom = OomWatch()
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    async def run(self, job: Job) -> Outcome:
        """Run one job; SlotLost when the service failed every time, Overloaded when the queue is full."""
        return (await self._attempts([job]))[0]

    async def run_pair(self, judge: Job, candidate: Job) -> list[Outcome]:
        """Run two joined jobs until the first one ends."""
        return await self._attempts([judge, candidate])

    async def _attempts(self, jobs: list[Job]) -> list[Outcome]:
        lost = unexplained = 0
        began = time.monotonic()
        while True:
            # All repeats together get no more time than one run, or a client would give up waiting.
            believe = unexplained == len(_PAUSES_S) or time.monotonic() - began > jobs[0].timeout_s
            slots = await self.pool.acquire([job.flavour for job in jobs])
            started = time.monotonic()
            try:
                if len(jobs) == 1:
                    return [await self._run_one(slots[0], jobs[0], believe=believe)]
                return await self._run_joined(slots, jobs, believe=believe)
            except SlotLost:
                _spoil(slots)
                lost += 1
                if lost == _ATTEMPTS:
                    raise
            except Unexplained as error:
                _spoil(slots)
                if self.oom.killed_since(started):
                    raise SlotLost("the machine ran out of memory") from error
                unexplained += 1
            except BaseException:
                _spoil(slots)
                raise
            finally:
                self.pool.release(slots)
            if unexplained:
                await asyncio.sleep(_PAUSES_S[unexplained - 1])

    async def _run_joined(self, slots: list[Slot], jobs: list[Job], *, believe: bool) -> list[Outcome]:
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        running: list[_Running] = []
        try:
            for slot, job, end in zip(slots, jobs, ends, strict=True):
                running.append(self._begin(slot, job, end.fileno()))
        except BaseException:
            for begun in running:
                begun.abandon()
            raise
        finally:
            # Only the programs hold the ends now: each sees end-of-file when the other is gone.
            for end in ends:
                end.close()
        # A candidate that ends itself must not be graded again: it has seen how the tests go.
        strangers, started = self.pool.strangers, time.monotonic()
        first = asyncio.ensure_future(self._end(running[0], believe=believe))
        second = asyncio.ensure_future(self._end(running[1], believe=True))
        try:
            await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
            if not first.done() and second.exception() is None:
                await asyncio.wait((first,))
            if not second.done() and first.exception() is None:
                slots[1].stop()
            outcomes = [await first, await second]
            if outcomes[1].killed and not believe:
                await asyncio.sleep(_STRANGER_WAIT_S)
                if self.pool.strangers > strangers or self.oom.killed_since(started):
                    raise Unexplained("killed by signal 9, as others were")
            return outcomes
        except BaseException:
            for slot in slots:
                slot.kill()
            await asyncio.gather(first, second, return_exceptions=True)
            raise

    async def _run_one(self, slot: Slot, job: Job, *, believe: bool) -> Outcome:
        return await self._end(self._begin(slot, job), believe=believe)

    def _begin(self, slot: Slot, job: Job, extra: int = -1) -> "_Running":
        """Open the program's descriptors and send it off."""
        cap = job.output_cap or self.output_cap
        memory_mb = job.memory_mb if job.memory_mb > 0 else self.pool.settings.memory_mb
        # Each thread may use a core of its own until the wall time is up.
        cpu_s = math.ceil(job.timeout_s * (os.cpu_count() or 1)) + 1
        spec = {
            "op": job.operation,
            "code": job.code,
            "files": job.files,
            "address_space": self.pool.address_space(slot) + (memory_mb << 20),
            "cpu_s": cpu_s,
        }
        limited = job.output_limit > 0
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            descriptors = [self._open_stdin(job.stdin)]
            theirs.callback(os.close, descriptors[0])
            captures = []
            for limit, on_cut in (
                (job.output_limit if limited else cap, slot.stop if limited else None),
                (cap, None),
            ):
                read, write = _output_pipe()
                theirs.callback(os.close, write)
                captures.append(Capture(slot.loop, read, limit, on_cut=on_cut))
                ours.callback(captures[-1].close)
                descriptors.append(write)
            with contextlib.suppress(OSError):
                # A larger pipe means fewer switches for long output; the kernel refuses it beyond a user's share.
                fcntl.fcntl(descriptors[1], fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
            if job.fetch:
                slot.order(b"H")
            descriptors += [extra] if extra >= 0 else []
            ours.callback(slot.kill)
            slot.begin(spec, descriptors, timeout_s=job.timeout_s, memory_bytes=memory_mb << 20)
            # Begun: what is ours stays open until its end.
            ours.pop_all()
        return _Running(slot=slot, job=job, stdout=captures[0], stderr=captures[1], cpu_s=cpu_s)

    async def _end(self, running: "_Running", *, believe: bool) -> Outcome:
        """Wait for the program; Unexplained when neither the server nor a limit sent its SIGKILL."""
        try:
            ended = await running.slot.end()
            fetch = running.job.fetch
            files = await self.fetch(running.slot, fetch) if fetch and not running.slot.dead else {}
        finally:
            output, errors = running.stdout.close(), running.stderr.close()
        explained = ended.ordered or ended.out_of_memory or ended.cpu_s >= running.cpu_s
        killed = ended.return_code == -signal.SIGKILL and not explained
        if killed and running.slot.flavour in JUDGE_FLAVOURS:
            self.pool.note_stranger()
        if killed and not believe:
            raise Unexplained("killed by signal 9")
        return Outcome(command=_command(ended, output, errors), files=files, killed=killed)

    def _open_stdin(self, content: str | None) -> int:
        """A regular file, as with `< input.txt`: programs ask for its size, seek in it, or map it."""
        if content is None:
            return os.dup(self.null)
        memory = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            view = memoryview(content.encode("utf-8", "surrogatepass"))
            while view:
                view = view[os.write(memory, view) :]
            # No memory of the program's: it may be able to open it again for writing.
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
            return os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(memory)

    async def fetch(self, slot: Slot, wanted: Sequence[str]) -> dict[str, str]:
        """Files of the ended program, read by a fresh process with its rights."""
        read, write = os.pipe()
        output = Capture(slot.loop, read, 2 * self.fetch_cap + (1 << 20))
        spec = {
            "op": "fetch", "paths": list(wanted), "limit": self.fetch_cap, "files": {}, "address_space": 0, "cpu_s": 10
        }  # fmt: skip
        try:
            slot.begin(spec, [self.null, write, self.null], timeout_s=10.0)
            os.close(write)
            write = -1
            await slot.end()
        finally:
            if write >= 0:
                os.close(write)
            data = output.close()
        # A process that runs our own code only wrote this, so it can be trusted.
        try:
            found = marshal.loads(data)
        except (ValueError, EOFError, TypeError):
            return {}
        return {path: base64.b64encode(content).decode() for path, content in found.items()}

    def close(self) -> None:
        """Close what is held."""
        with contextlib.suppress(OSError):
            os.close(self.null)


def _output_pipe() -> tuple[int, int]:
    """A pipe whose end for writing is for the program's user, too: /dev/stdout and /dev/stderr open it again."""
    read, write = os.pipe()
    os.fchmod(write, 0o666)
    return read, write


def _spoil(slots: list[Slot]) -> None:
    """Slots after a failure may run a program or hold its files: the pool replaces them."""
    for slot in slots:
        slot.stale = True


def _command(ended: ProgramExit, output: bytes, errors: bytes) -> dict[str, Any]:
    if ended.out_of_memory:
        errors += f"\nsandbox: {OVER_MEMORY}\n".encode()
    return {
        "status": "TimeLimitExceeded" if ended.timed_out else "Finished",
        "execution_time": round(ended.wall_s, 6),
        "cpu_time": round(ended.cpu_s, 6),
        "return_code": None if ended.timed_out else ended.return_code,
        "stdout": output.decode("utf-8", "replace"),
        "stderr": errors.decode("utf-8", "replace"),
    }


class OomWatch:
    """Whether the kernel's out-of-memory killer was at work: its victims are the machine's fault, not a program's."""

    def __init__(self) -> None:
        self._samples: collections.deque[tuple[float, int]] = collections.deque(maxlen=_KEPT_OOM_SAMPLES)
        self.sample()

    def sample(self) -> int:
        """Read the counter; 0 where the kernel has none."""
        count = _oom_kills()
        self._samples.append((time.monotonic(), count))
        return count

    def killed_since(self, moment: float) -> bool:
        """Whether any process of the machine was a victim since `moment` (of time.monotonic)."""
        before = [count for at, count in self._samples if at <= moment]
        known = before[-1] if before else self._samples[0][1]
        return self.sample() > known


def _oom_kills() -> int:
    try:
        with open("/proc/vmstat") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0

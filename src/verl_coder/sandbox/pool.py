"""All slots of a server: the zygote that makes them, a fair queue for them, replacement of lost ones."""

import asyncio
import collections
import contextlib
import marshal
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace

from verl_coder.errors import ConfigError
from verl_coder.sandbox.guest.keeper import SlotConfig
from verl_coder.sandbox.isolation import landlock, seccomp
from verl_coder.sandbox.slot import Slot, SlotLost

_HOST_UID_BASE = 1_800_000_000
_START_TIMEOUT_S = 20.0


class Overloaded(Exception):
    """The queue is full."""


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """Size of the pool and the limits of each slot."""

    workers: int
    isolation: str
    unsafe: bool
    max_queue: int
    memory_mb: int
    processes: int
    tmpfs_mb: int
    tmpfs_inodes: int


class Pool:
    """Slots made by one zygote; `acquire` is first come, first served, also for two at once."""

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.variant = ""
        self.protection = ""
        self.skipped = ""
        self.address_space = 0
        self.busy = 0
        self.replaced = 0
        self._numbers = iter(range(1, 1 << 62))
        self._free: collections.deque[Slot] = collections.deque()
        self._slots: set[Slot] = set()
        self._queue: collections.deque[tuple[int, asyncio.Future[list[Slot]]]] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._zygote_socket: socket.socket | None = None
        self._zygote_lock = asyncio.Lock()
        self._folder = ""
        self._closed = False

    # ---- start and stop

    async def start(self) -> None:
        """Find out what the machine allows, then make all slots; ConfigError where it cannot protect."""
        self._folder = tempfile.mkdtemp(prefix="verl-coder-sandbox-")
        os.chmod(self._folder, 0o711)
        self._base_config = SlotConfig(
            slot=0,
            variant="none",
            host_uid=os.getuid(),
            work_dir="",
            processes=self.settings.processes,
            tmpfs_mb=self.settings.tmpfs_mb,
            tmpfs_inodes=self.settings.tmpfs_inodes,
            memory_mb=self.settings.memory_mb,
            landlock_abi=landlock.abi_version(),
            seccomp_filter=b"",
        )
        await self._start_zygote()
        first = await self._choose_variant()
        self._free.append(first)
        rest = await asyncio.gather(*(self.new_slot() for _ in range(self.settings.workers - 1)))
        self._free.extend(rest)
        if self.variant in ("range", "single", "plain"):
            with contextlib.suppress(OSError):
                os.rmdir(self._folder)

    async def _choose_variant(self) -> Slot:
        wanted = self.settings.isolation
        namespaced = ["range", "plain"] if os.geteuid() == 0 else ["single"]
        candidates = {
            "auto": [*namespaced, "light", "none"],
            "namespaces": namespaced,
            "light": ["light"],
            "none": ["none"],
        }[wanted]
        reasons = []
        for variant in candidates:
            if variant == "light" and not (self._base_config.landlock_abi and seccomp.supported()):
                reasons.append("light: neither Landlock nor seccomp")
                continue
            if variant == "none" and not self.settings.unsafe:
                reasons.append("none: no protection at all")
                continue
            self._set_variant(variant)
            try:
                slot = await self.new_slot()
                self.skipped = "; ".join(reasons)
                return slot
            except (SlotLost, TimeoutError) as error:
                reasons.append(f"{variant}: {error}")
        raise ConfigError(
            f"this machine does not allow isolation {wanted!r} ({'; '.join(reasons)}): run where it does, or "
            "give --isolation none --unsafe to run programs without protection"
        )

    def _set_variant(self, variant: str) -> None:
        self.variant = variant
        bpf = b""
        if variant != "none" and seccomp.supported():
            bpf = seccomp.build_filter(allow_network=variant != "light")
        self._base_config = replace(self._base_config, variant=variant, seccomp_filter=bpf)
        self.protection = self._describe()

    def _describe(self) -> str:
        config = self._base_config
        if self.variant == "none":
            return "none; unsafe=1"
        layers = {
            "range": "namespaces: user pid mount network ipc uts, own root",
            "single": "namespaces: user pid mount network ipc uts, own root",
            "plain": "namespaces: pid mount network ipc uts, own root, own uid",
            "light": "light: " + ("own uid" if os.geteuid() == 0 else "the server's uid") + ", no network",
        }[self.variant]
        landlock_part = f", landlock {config.landlock_abi}" if config.landlock_abi else ""
        return layers + landlock_part + (", seccomp" if config.seccomp_filter else "") + ", rlimits"

    @property
    def mode(self) -> str:
        """`namespaces`, `light` or `none`."""
        return "namespaces" if self.variant in ("range", "single", "plain") else self.variant

    async def _start_zygote(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        command = [sys.executable, "-m", "verl_coder.sandbox.guest.zygote", str(theirs.fileno())]
        self._zygote = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=_program_environment(),
            start_new_session=True,
        )
        theirs.close()
        loop = asyncio.get_running_loop()
        answer = await asyncio.wait_for(loop.sock_recv(ours, 4096), _START_TIMEOUT_S)
        if not answer:
            raise ConfigError("the sandbox's zygote died at start: see its message above")
        self.address_space = marshal.loads(answer)["address_space"]
        self._zygote_socket = ours

    async def new_slot(self) -> Slot:
        """Make a slot and wait until it is ready; SlotLost with the reason when it cannot be made."""
        slot = Slot(asyncio.get_running_loop(), next(self._numbers))
        config = replace(
            self._base_config,
            slot=slot.number,
            host_uid=_host_uid(slot.number),
            work_dir=os.path.join(self._folder, f"slot{slot.number}"),
        )
        for attempt in range(2):
            try:
                assert self._zygote_socket is not None
                message = marshal.dumps(asdict(config))
                descriptors = [slot.keeper_status.fileno(), slot.keeper_control.fileno()]
                socket.send_fds(self._zygote_socket, [message], descriptors)
                break
            except OSError as error:
                if attempt:
                    raise SlotLost(f"no zygote: {error}") from error
                await self._revive_zygote()
        slot.handed_over()
        self._slots.add(slot)
        try:
            await asyncio.wait_for(asyncio.shield(slot.ready), _START_TIMEOUT_S)
        except (TimeoutError, SlotLost):
            self._discard(slot)
            raise
        return slot

    async def _revive_zygote(self) -> None:
        async with self._zygote_lock:
            if self._zygote is not None and self._zygote.poll() is None:
                return
            if self._zygote_socket is not None:
                self._zygote_socket.close()
            await self._start_zygote()

    async def close(self) -> None:
        """End every slot and the zygote."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        pids = [slot.pid for slot in self._slots]
        for slot in list(self._slots):
            slot.close()
        if self._zygote_socket is not None:
            self._zygote_socket.close()
        deadline = asyncio.get_running_loop().time() + 3.0
        while any(os.path.exists(f"/proc/{pid}") for pid in pids if pid):
            if asyncio.get_running_loop().time() > deadline:
                for slot in self._slots:
                    slot.force()
                break
            await asyncio.sleep(0.01)
        if self._zygote is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._zygote.wait(3.0)
            if self._zygote.poll() is None:
                self._zygote.kill()
                self._zygote.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- use

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        return len(self._queue)

    async def acquire(self, count: int = 1) -> list[Slot]:
        """`count` slots at once, in order of arrival; Overloaded when the queue is full."""
        if not self._queue and len(self._free) >= count:
            return self._take(count)
        if len(self._queue) >= self.settings.max_queue:
            raise Overloaded(f"{len(self._queue)} requests are waiting")
        future: asyncio.Future[list[Slot]] = asyncio.get_running_loop().create_future()
        self._queue.append((count, future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result())
            raise

    def _take(self, count: int) -> list[Slot]:
        self.busy += count
        return [self._free.popleft() for _ in range(count)]

    def release(self, slots: list[Slot]) -> None:
        """Give slots back; one that is dead or stale is replaced."""
        for slot in slots:
            self.busy -= 1
            if slot.dead or slot.stale:
                self._replace(slot)
            else:
                self._free.append(slot)
        self._serve_queue()

    def _serve_queue(self) -> None:
        while self._queue and self._queue[0][1].done():
            self._queue.popleft()
        while self._queue and len(self._free) >= self._queue[0][0]:
            count, future = self._queue.popleft()
            if not future.done():
                future.set_result(self._take(count))

    def _discard(self, slot: Slot) -> None:
        self._slots.discard(slot)
        slot.close()
        slot.force()

    def _replace(self, slot: Slot) -> None:
        self._slots.discard(slot)
        slot.close()
        self.replaced += 1
        task = asyncio.get_running_loop().create_task(self._make_replacement())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_replacement(self) -> None:
        pause_s = 0.05
        while not self._closed:
            try:
                self._free.append(await self.new_slot())
            except (SlotLost, TimeoutError, ConfigError) as error:
                print(f"sandbox: cannot replace a slot: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5.0)
            else:
                self._serve_queue()
                return

    def drop_dead_free_slots(self) -> None:
        """Replace slots that died while idle."""
        for slot in [slot for slot in self._free if slot.dead or slot.stale]:
            self._free.remove(slot)
            self._replace(slot)


def _host_uid(number: int) -> int:
    """A user id of its own for each slot (two of them in a user namespace), far above real users."""
    return _HOST_UID_BASE + (os.getpid() % 32768) * 8192 + (number % 4096) * 2


def _program_environment() -> dict[str, str]:
    """Environment of every program: nothing of the server's."""
    bins = dict.fromkeys([os.path.join(sys.prefix, "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
    return {
        "PATH": ":".join(bins),
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }



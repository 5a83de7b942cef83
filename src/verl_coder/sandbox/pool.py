"""All slots of a server: what protection they get, a fair queue for them, replacement of lost ones."""

import asyncio
import collections
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from verl_coder.errors import ConfigError
from verl_coder.sandbox.guest.slot_config import SlotConfig
from verl_coder.sandbox.isolation import landlock, seccomp
from verl_coder.sandbox.nursery import FLAVOURS, JUDGE_FLAVOURS, Nursery
from verl_coder.sandbox.slot import Slot, SlotLost

_HOST_UID_BASE = 1_800_000_000


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
    held: Mapping[str, bytes] = field(default_factory=dict)
    """Of `judge` and `candidate`, the two roles of a pair: the program that requests may name (guest/held.py)."""


class Pool:
    """Slots of both flavours, of which `workers` run at a time; requests get theirs in order of arrival, pairs too."""

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.variant = ""
        self.protection = ""
        self.skipped = ""
        self.busy = 0
        self.replaced = 0
        self.strangers = 0
        """Deaths of processes in which no program ran."""
        self._numbers = iter(range(1, 1 << 62))
        self._nurseries = {
            flavour: Nursery(flavour, settings.held.get(role, b""))
            for role, flavours in (("candidate", FLAVOURS), ("judge", JUDGE_FLAVOURS))
            for flavour in flavours
        }
        self._free: dict[str, collections.deque[Slot]] = {
            name: collections.deque() for name in self._nurseries
        }
        self._slots: set[Slot] = set()
        self._queue: collections.deque[tuple[list[str], asyncio.Future[list[Slot]]]] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
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
        await asyncio.gather(*(nursery.start() for nursery in self._nurseries.values()))
        first = await self._choose_variant()
        pairs = self.settings.workers // 2
        wanted = [flavour for flavour in FLAVOURS for _ in range(self.settings.workers)]
        wanted += [flavour for flavour in JUDGE_FLAVOURS for _ in range(pairs)]
        wanted.remove(first.flavour)
        for slot in [first, *await asyncio.gather(*map(self.new_slot, wanted))]:
            self._free[slot.flavour].append(slot)
        if self.variant in ("range", "single", "plain"):
            with contextlib.suppress(OSError):
                os.rmdir(self._folder)

    async def _choose_variant(self) -> Slot:
        wanted = self.settings.isolation
        if wanted == "none" and not self.settings.unsafe:
            raise ConfigError(
                "isolation 'none' leaves this machine unprotected: say --unsafe, too (in a run "
                "verl_coder.sandbox_unsafe=true), or take another isolation"
            )
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
                slot = await self.new_slot(FLAVOURS[0])
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
            namespaced = variant != "light"
            bpf = seccomp.build_filter(allow_network=namespaced, allow_mount=namespaced)
        self._base_config = self._base_config._replace(variant=variant, seccomp_filter=bpf)
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

    async def new_slot(self, flavour: str) -> Slot:
        """Make a slot of its own; SlotLost with the reason when it cannot be made."""
        number = next(self._numbers)
        config = self._base_config._replace(
            slot=number,
            host_uid=_host_uid(number),
            work_dir=os.path.join(self._folder, f"slot{number}"),
        )
        slot = await self._nurseries[flavour].make(config)
        self._slots.add(slot)
        slot.on_stranger = self.note_stranger
        return slot

    def note_stranger(self) -> None:
        """Somebody kills processes of the server's."""
        if not self._closed:
            self.strangers += 1

    async def close(self) -> None:
        """End every slot and the zygote."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        pids = [slot.pid for slot in self._slots]
        for slot in list(self._slots):
            slot.close()
        # The zygotes reap the keepers, so they go last.
        deadline = asyncio.get_running_loop().time() + 3.0
        while any(_is_alive(pid) for pid in pids if pid):
            if asyncio.get_running_loop().time() > deadline:
                for slot in self._slots:
                    slot.force()
                break
            await asyncio.sleep(0.01)
        for nursery in self._nurseries.values():
            nursery.hang_up()
        for nursery in self._nurseries.values():
            await nursery.reap()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- use

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        return len(self._queue)

    async def acquire(self, flavours: list[str]) -> list[Slot]:
        """A slot for each flavour, all at once, in order of arrival; Overloaded when the queue is full."""
        if not self._queue and self._available(flavours):
            return self._take(flavours)
        if len(self._queue) >= self.settings.max_queue:
            raise Overloaded(f"{len(self._queue)} requests are waiting")
        future: asyncio.Future[list[Slot]] = asyncio.get_running_loop().create_future()
        self._queue.append((flavours, future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result())
            else:
                # Those behind it may find enough slots.
                self._serve_queue()
            raise

    def _available(self, flavours: list[str]) -> bool:
        if self.busy + len(flavours) > self.settings.workers:
            return False
        for flavour in flavours:
            if any(slot.dead or slot.stale for slot in self._free[flavour]):
                self.drop_dead_free_slots()
        return all(len(self._free[flavour]) >= flavours.count(flavour) for flavour in flavours)

    def _take(self, flavours: list[str]) -> list[Slot]:
        self.busy += len(flavours)
        return [self._free[flavour].popleft() for flavour in flavours]

    def address_space(self, slot: Slot) -> int:
        """Bytes of address space that a program has before it starts."""
        return self._nurseries[slot.flavour].address_space

    def release(self, slots: list[Slot]) -> None:
        """Give slots back; one that is dead or stale, or still runs a program, is replaced."""
        for slot in slots:
            self.busy -= 1
            if slot.dead or slot.stale or slot.running:
                self._replace(slot)
            else:
                self._free[slot.flavour].append(slot)
        self._serve_queue()

    def _serve_queue(self) -> None:
        while self._queue and self._queue[0][1].done():
            self._queue.popleft()
        while self._queue and self._available(self._queue[0][0]):
            flavours, future = self._queue.popleft()
            if not future.done():
                future.set_result(self._take(flavours))

    def discard(self, slot: Slot) -> None:
        """Forget a slot that was made for one purpose."""
        self._slots.discard(slot)
        slot.close()

    def _replace(self, slot: Slot) -> None:
        self._slots.discard(slot)
        slot.close()
        self.replaced += 1
        task = asyncio.get_running_loop().create_task(self._make_replacement(slot.flavour))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_replacement(self, flavour: str) -> None:
        pause_s = 0.05
        while not self._closed:
            try:
                self._free[flavour].append(await self.new_slot(flavour))
            except (SlotLost, TimeoutError, OSError, ConfigError) as error:
                print(f"sandbox: cannot replace a slot: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5.0)
            else:
                self._serve_queue()
                return

    def drop_dead_free_slots(self) -> None:
        """Replace slots that died while idle."""
        for free in self._free.values():
            for slot in [slot for slot in free if slot.dead or slot.stale]:
                free.remove(slot)
                self._replace(slot)


def _host_uid(number: int) -> int:
    """A user id of its own for each slot (two of them in a user namespace), far above real users."""
    return _HOST_UID_BASE + (os.getpid() % 32768) * 8192 + (number % 4096) * 2


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

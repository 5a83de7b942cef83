"""The keeper of a slot: pid 1 of its namespaces, forks one program at a time, and cleans up after it.

The keeper never reads a request: the process it forks ahead does. So no program inherits another's data.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import NoReturn

from verl_coder.sandbox.guest import leftovers, program, request
from verl_coder.sandbox.guest.confine import Confinement
from verl_coder.sandbox.guest.slot_config import (
    EXIT_FORMAT,
    KILLED_BY_ORDER,
    KILLED_FOR_MEMORY,
    UNCLEAN,
    SlotConfig,
)
from verl_coder.sandbox.guest.stillness import Stillness
from verl_coder.sandbox.isolation import linux, root

_WATCH_INTERVAL_MS = 30
_REST_INTERVAL_MS = 1000
"""While a session waits for its next command: to look costs 0.3 ms, and hundreds of sessions wait at a time."""
_IDLE_INTERVAL_MS = 5000
_LOOK_SHARE = 4
"""So many times as long as the last look took passes until the next one."""


class Keeper:
    """Serves one slot until the server's end of the status socket closes."""

    def __init__(
        self, config: SlotConfig, home: str, status: socket.socket, control: socket.socket, last_pid: int
    ) -> None:
        self.config = config
        self.namespaced = config.namespaced
        self.home = home
        self.main_file = home + "/main.py"
        self.status = status
        self.status_fd = status.fileno()
        self.control = control
        self.poll = select.poll()
        self.poll.register(self.status_fd, select.POLLIN)
        self.hold = False
        self.watching = False
        self.resting = False
        self.last_pid = last_pid
        self.child = 0
        """The program's process until it has been waited for: until then its process group is its own."""
        self.stillness = Stillness()
        self.look_ms = self.cpu_us = 0
        self.sequence = 1
        self.memory_limit = config.memory_mb << 20
        self.empty_inodes = 0
        self.confinement = Confinement(config, home)
        self.sockstat = leftovers.open_if_there("/proc/self/net/sockstat") if config.namespaced else -1
        self.children = leftovers.open_if_there(f"/proc/self/task/{os.getpid()}/children")

    def serve(self) -> Callable[[], NoReturn]:
        """For each program: fork its process ahead, wait for its end, report it, clean up.

        Returns in the program's process only, with what it is to run.
        """
        self._reset_files(first=True)
        self.confinement.confine_keeper()
        program.settle()
        self._rehearse()
        self.status.send(b"R")
        while True:
            self._reset_pids()
            self.child = linux.fork_bare()
            if self.child == 0:
                return self._become_program()
            self._wait_and_report()

    def _reset_pids(self) -> None:
        """Each program has the same process id: from the next one it could tell how many processes ran before it."""
        if self.last_pid >= 0:
            try:
                os.pwrite(self.last_pid, b"1", 0)
            except OSError:
                # An older kernel wants more privileges for it.
                os.close(self.last_pid)
                self.last_pid = -1

    def _rehearse(self) -> None:
        """Drop privileges once in a process that runs nothing: a slot that cannot protect must not be offered."""
        child = linux.fork_bare()
        if child == 0:
            self._confine_program()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            os._exit(1)
        self._spent_us()

    # ---- in the program's process

    def _become_program(self) -> Callable[[], NoReturn]:
        if not self.namespaced:
            os.setpgid(0, 0)
        self._confine_program()
        self.status.detach()
        return request.take(self.control, self.main_file)

    def _confine_program(self) -> None:
        try:
            self.confinement.enter()
        except BaseException as error:
            # Never run a program with less protection than promised.
            self.status.send(b"E" + f"{type(error).__name__}: {error}".encode()[:500])
            os._exit(1)

    # ---- in the keeper

    def _wait_and_report(self) -> None:
        flags = 0
        pidfd = os.pidfd_open(self.child)
        self.poll.register(pidfd, select.POLLIN)
        ended = False
        while not ended:
            events = self.poll.poll(self._interval_ms())
            ready = [descriptor for descriptor, _ in events]
            ended = pidfd in ready
            if self.status_fd in ready:
                flags |= self._obey(ended)
            if ended:
                break
            if self.watching and self._look() > self.memory_limit:
                flags |= KILLED_FOR_MEMORY
                self._kill_all()
            elif self.resting:
                self.stillness.look(self._pids)
            if not events:
                leftovers.reap_orphans(os.getpid(), self.child)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        self._kill_group()
        _, status = os.waitpid(self.child, 0)
        self.child = 0
        if status:
            self._drop_untaken_request()
        # Orphans come to pid 1, or to the subreaper.
        if self.children < 0 or os.pread(self.children, 16, 0):
            self._kill_all(reap=True)
        if self.sockstat >= 0 and b" tw 0 " not in os.pread(self.sockstat, 400, 0):
            flags |= UNCLEAN
        self._send(struct.pack(EXIT_FORMAT, b"X", status, flags, self._spent_us()))
        self.sequence += 1
        self.watching = self.resting = False
        self.stillness.forget()
        self.look_ms = 0
        self.memory_limit = self.config.memory_mb << 20
        if self.hold:
            self.hold = False
        else:
            self._reset_files()

    def _drop_untaken_request(self) -> None:
        """One whose program was killed before it took it would be the next program's, and all after it one late."""
        with contextlib.suppress(BlockingIOError):
            while self.control.recv(1, socket.MSG_DONTWAIT):
                pass

    def _spent_us(self) -> int:
        """CPU time of all processes that were reaped since the last call: of those that a program left, too."""
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        before, self.cpu_us = self.cpu_us, int((usage.ru_utime + usage.ru_stime) * 1e6)
        return self.cpu_us - before

    def _interval_ms(self) -> int:
        if not self.watching:
            return _IDLE_INTERVAL_MS
        # A program can make itself dear to look at; what that costs is to be a small part of its time.
        return max(_REST_INTERVAL_MS if self.resting else _WATCH_INTERVAL_MS, self.look_ms * _LOOK_SHARE)

    def _send(self, message: bytes) -> None:
        try:
            self.status.send(message)
        except OSError:
            self._leave()

    def _leave(self) -> None:
        """The server is gone: kill every process of the slot, remove its files, end."""
        self._kill_all(reap=True)
        if not self.namespaced:
            leftovers.remove_tree(self.config.work_dir)
        os._exit(0)

    def _obey(self, ended: bool) -> int:
        order = self.status.recv(64)
        if not order:
            self._leave()
        kind, sequence = order[:1], struct.unpack("=I", order[1:5])[0]
        if sequence != self.sequence:
            # Meant for a program that has ended meanwhile.
            return 0
        if kind == b"K":
            if ended:
                # The program ended by itself before the order came.
                return 0
            self._kill_all()
            return KILLED_BY_ORDER
        if kind == b"I":
            os.kill(self.child, signal.SIGINT)
        elif kind == b"H":
            self.hold = True
        elif kind == b"W":
            self.watching, self.resting = True, False
            self.stillness.wake()
            self.memory_limit = struct.unpack("=Q", order[5:13])[0] or self.memory_limit
        elif kind == b"S":
            self.resting = True
        elif kind == b"M":
            self._send(b"M" + struct.pack("=Q", self._memory_in_use()))
        return 0

    def _kill_all(self, *, reap: bool = False) -> None:
        """Kill every process of the slot."""
        self._kill_group()
        leftovers.kill_below(reap=reap, own_namespace=self.namespaced)

    def _kill_group(self) -> None:
        """While the child's group id is still taken; one call also kills those that keep forking."""
        if self.child and not self.namespaced:
            leftovers.kill_group(self.child)

    def _look(self) -> int:
        began = time.monotonic()
        found = self._memory_in_use(self.memory_limit)
        self.look_ms = int((time.monotonic() - began) * 1000)
        return found

    def _memory_in_use(self, limit: int = 0) -> int:
        """Bytes of memory of all processes of the slot, and of its tmpfs; the tighter the closer to `limit`.

        An order of the server's, and the program's end, are served first.
        """
        on_tmpfs = leftovers.bytes_in_use(root.HOME) if self.namespaced else 0
        return leftovers.memory_in_use(
            self._pids() or [self.child], on_tmpfs=on_tmpfs, limit=limit, called=self._is_called
        )

    def _pids(self) -> list[int]:
        """Processes of the slot but for this one."""
        if not self.namespaced:
            return leftovers.descendants(os.getpid())
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]

    def _is_called(self) -> bool:
        return bool(self.poll.poll(0))

    def _reset_files(self, *, first: bool = False) -> None:
        """An empty working folder for the next program, and the current one of this process."""
        config = self.config
        if not first and self._is_clean():
            return
        if self.namespaced:
            if not first:
                linux.umount_detach(root.HOME)
                root.mount_tmpfs(root.HOME, config.tmpfs_options)
            self.empty_inodes = leftovers.inodes_in_use(root.HOME)
        else:
            leftovers.remove_tree(config.work_dir)
            os.mkdir(config.work_dir, 0o700)
            if os.geteuid() == 0 and config.variant == "light":
                os.chown(config.work_dir, config.host_uid, config.host_uid)
        os.chdir(self.home)
        self.confinement.renew_ruleset()

    def _is_clean(self) -> bool:
        """Whether nothing but the source of the program was left, which is removed here."""
        try:  # noqa: SIM105 - every call here costs copies of pages
            os.unlink(self.main_file)
        except OSError:
            pass
        if self.config.variant in ("range", "plain"):
            return leftovers.inodes_in_use(root.HOME) == self.empty_inodes
        # Here the folder belongs to the program, which may have changed it.
        return (
            self.config.variant != "single"
            and not leftovers.names_in(self.home)
            and leftovers.mode_is_private(self.home)
        )

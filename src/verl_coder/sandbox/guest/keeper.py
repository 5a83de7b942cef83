"""The keeper of a slot: pid 1 of its namespaces, forks one program at a time, and cleans up after it.

The keeper never reads a request: the process it forks ahead does. So no program inherits another's data.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
from dataclasses import dataclass

from verl_coder.sandbox.guest import leftovers, program
from verl_coder.sandbox.isolation import landlock, limits, linux, namespaces, root, seccomp

EXIT_FORMAT = "=ciiQQ"
"""'X', wait status, flags, CPU microseconds, peak resident kB."""
KILLED_BY_ORDER, KILLED_FOR_MEMORY, UNCLEAN = 1, 2, 4
_WATCH_INTERVAL_MS = 30
_IDLE_INTERVAL_MS = 5000


@dataclass(frozen=True, kw_only=True)
class SlotConfig:
    """How a slot is to be made; `variant` is range, single, plain, light or none."""

    slot: int
    variant: str
    host_uid: int
    work_dir: str
    processes: int
    tmpfs_mb: int
    tmpfs_inodes: int
    memory_mb: int
    landlock_abi: int
    seccomp_filter: bytes

    @property
    def namespaced(self) -> bool:
        return self.variant in ("range", "single", "plain")

    @property
    def tmpfs_options(self) -> str:
        # Owned by root, so that no program can change the folder itself; `single` has no other user.
        owner = namespaces.PROGRAM_UID if self.variant == "single" else 0
        return f"mode=1777,size={self.tmpfs_mb}m,nr_inodes={self.tmpfs_inodes},uid={owner},gid={owner}"


def start_keeper(config: SlotConfig, status: socket.socket, control: socket.socket) -> None:
    """In a fork of the zygote: become (or fork) the keeper and serve; never returns."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        linux.set_name("sandbox-slot")
        if config.namespaced:
            namespaces.unshare_all(config.variant, config.host_uid)
            keeper = os.fork()
            if keeper:
                status.send(b"P%d" % keeper)
                os._exit(0)
            _enter_root(config)
        else:
            status.send(b"P%d" % os.getpid())
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
            if config.variant == "light" and os.geteuid() == 0:
                root.uncover_interpreter()
        Keeper(config, status, control).serve()
    except BaseException as error:
        with contextlib.suppress(OSError):
            status.send(b"E" + f"{type(error).__name__}: {error}".encode()[:500])
    os._exit(1)


def _enter_root(config: SlotConfig) -> None:
    # Opened in the new mount namespace, and while this is still the user who may reach all the paths.
    sources = root.open_sources()
    if config.variant == "range":
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    root.build_root(sources, tmpfs_options=config.tmpfs_options)
    for descriptor in sources.values():
        os.close(descriptor)
    namespaces.loopback_up()
    linux.drop_bounding_set()


class Keeper:
    """Serves one slot until the server's end of the status socket closes."""

    def __init__(self, config: SlotConfig, status: socket.socket, control: socket.socket) -> None:
        self.config = config
        self.status = status
        self.control = control
        self.hold = False
        self.watching = False
        self.sequence = 1
        self.memory_limit = config.memory_mb << 20
        self.read_only = [*root.visible_folders(), "/etc"]
        self.process_limit = config.processes
        if config.variant == "light" and os.geteuid() != 0:
            # The limit counts all tasks of the user, the server's and other programs' among them.
            self.process_limit = leftovers.tasks_of_user(os.getuid()) + 8 * config.processes
        self.sockstat = -1
        self.ruleset = -1
        self.empty_inodes = 0

    def serve(self) -> None:
        """Fork ahead, wait, clean, report, again."""
        self._prepare()
        self._reset_files(first=True)
        program.settle()
        self._rehearse()
        self.status.send(b"R" + json.dumps({"proc": os.path.exists("/proc/self")}).encode())
        while True:
            child = os.fork()
            if child == 0:
                self._become_program()
            self._wait_and_report(child)

    def _rehearse(self) -> None:
        """Drop privileges once in a process that runs nothing: a slot that cannot protect must not be offered."""
        child = os.fork()
        if child == 0:
            try:
                os.chdir(self.home)
                self._drop_privileges()
            except BaseException as error:
                self.status.send(b"E" + f"{type(error).__name__}: {error}".encode()[:500])
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            os._exit(1)

    def _prepare(self) -> None:
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        if null > 2:
            os.close(null)
        program.prepare_streams()
        home = root.HOME if self.config.namespaced else self.config.work_dir
        os.environ["HOME"] = os.environ["TMPDIR"] = home
        sys.argv = [home + "/main.py"]
        sys.path[:] = [home] + [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
        sys.dont_write_bytecode = True
        self.home = home
        if self.config.namespaced and os.path.exists("/proc/self/net/sockstat"):
            self.sockstat = os.open("/proc/self/net/sockstat", os.O_RDONLY | os.O_CLOEXEC)

    # ---- in the program's process

    def _become_program(self) -> None:
        try:
            os.chdir(self.home)
            self._drop_privileges()
        except BaseException as error:
            # Never run a program with less protection than promised.
            self.status.send(b"E" + f"{type(error).__name__}: {error}".encode()[:500])
            os._exit(1)
        try:
            self.status.close()
            request = program.receive_request(self.control.detach())
            if request is None:
                os._exit(0)
            spec, descriptors = request
            extra = program.take_place(spec, descriptors)
        except BaseException as error:
            os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
            os._exit(125)
        program.run(spec, extra)

    def _drop_privileges(self) -> None:
        config = self.config
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
        except OSError:
            pass
        if config.variant == "range":
            os.setresgid(*(namespaces.PROGRAM_UID,) * 3)
            os.setresuid(*(namespaces.PROGRAM_UID,) * 3)
        elif config.variant in ("plain", "light") and os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(*(config.host_uid,) * 3)
            os.setresuid(*(config.host_uid,) * 3)
        if config.variant == "none":
            return
        linux.drop_capabilities()
        if not config.namespaced:
            # Nothing else would end the program if this keeper were killed.
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if config.namespaced:
            linux.prctl(linux.PR_SET_DUMPABLE, 1)
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        limits.apply_fixed_limits(processes=self.process_limit, file_mb=config.tmpfs_mb)
        if config.landlock_abi:
            landlock.restrict(self.ruleset)
        if config.seccomp_filter:
            seccomp.install(config.seccomp_filter)

    # ---- in the keeper

    def _wait_and_report(self, child: int) -> None:
        flags = 0
        pidfd = os.pidfd_open(child)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self.status.fileno(), select.POLLIN)
        while True:
            events = dict(poll.poll(_WATCH_INTERVAL_MS if self.watching else _IDLE_INTERVAL_MS))
            if self.status.fileno() in events:
                flags |= self._obey(child)
            if pidfd in events:
                break
            if self.watching and self._memory_in_use(child) > self.memory_limit:
                flags |= KILLED_FOR_MEMORY
                self._kill_all(child)
            if not events:
                self._reap_orphans(child)
        os.close(pidfd)
        _, status, usage = os.wait4(child, 0)
        self._kill_all(None)
        if self.sockstat >= 0 and b" tw 0 " not in os.pread(self.sockstat, 400, 0):
            flags |= UNCLEAN
        cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
        self._send(struct.pack(EXIT_FORMAT, b"X", status, flags, cpu_us, usage.ru_maxrss))
        self.sequence += 1
        self.watching = False
        self.memory_limit = self.config.memory_mb << 20
        if self.hold:
            self.hold = False
        else:
            self._reset_files()

    def _send(self, message: bytes) -> None:
        try:
            self.status.send(message)
        except OSError:
            self._leave()

    def _leave(self) -> None:
        """The server is gone: take everything along."""
        self._kill_all(None)
        if not self.config.namespaced:
            leftovers.remove_tree(self.config.work_dir)
        os._exit(0)

    def _obey(self, child: int) -> int:
        order = self.status.recv(64)
        if not order:
            self._leave()
        kind, sequence = order[:1], struct.unpack("=I", order[1:5])[0]
        if sequence != self.sequence:
            # Meant for a program that has ended meanwhile.
            return 0
        if kind == b"K":
            self._kill_all(child)
            return KILLED_BY_ORDER
        if kind == b"I":
            os.kill(child, signal.SIGINT)
        elif kind == b"H":
            self.hold = True
        elif kind == b"W":
            self.watching = True
            self.memory_limit = struct.unpack("=Q", order[5:13])[0] or self.memory_limit
        elif kind == b"M":
            self._send(b"M" + struct.pack("=Q", self._memory_in_use(child)))
        return 0

    def _kill_all(self, child: int | None) -> None:
        """Kill every process of the slot; with `child` None also reap them all."""
        if self.config.namespaced and os.getpid() == 1:
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                return
        elif not self._has_children():
            return
        else:
            for _ in range(200):
                pids = [pid for pid in leftovers.descendants(os.getpid()) if not leftovers.is_zombie(pid)]
                for pid in pids:
                    leftovers.kill(pid)
                if not pids:
                    break
        if child is None:
            try:
                while True:
                    os.waitpid(-1, 0)
            except ChildProcessError:
                pass

    def _has_children(self) -> bool:
        """Every process of the slot is a child in the end: orphans come to this subreaper."""
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return True
        except ChildProcessError:
            return False

    def _reap_orphans(self, child: int) -> None:
        for pid in leftovers.children(os.getpid()):
            if pid != child:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _memory_in_use(self, child: int) -> int:
        """Bytes of private memory of all processes of the slot, and of its tmpfs."""
        page = 4096
        total = 0
        if self.config.namespaced:
            disk = os.statvfs(root.HOME)
            total = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        else:
            pids = list(leftovers.descendants(os.getpid()))
        for pid in pids or [child]:
            try:
                with open(f"/proc/{pid}/statm") as file:
                    numbers = file.read().split()
                total += (int(numbers[1]) - int(numbers[2])) * page
            except (OSError, IndexError):
                continue
        return total

    def _reset_files(self, *, first: bool = False) -> None:
        """An empty working folder for the next program."""
        config = self.config
        if not first and self._is_clean():
            return
        if config.namespaced:
            if not first:
                linux.umount_detach(root.HOME)
                root.mount_tmpfs(root.HOME, config.tmpfs_options)
            self.empty_inodes = leftovers.inodes_in_use(root.HOME)
        else:
            leftovers.remove_tree(config.work_dir)
            os.mkdir(config.work_dir, 0o700)
            if os.geteuid() == 0 and config.variant == "light":
                os.chown(config.work_dir, config.host_uid, config.host_uid)
        if config.landlock_abi and config.variant != "none":
            if self.ruleset >= 0:
                os.close(self.ruleset)
            # In a root of its own everything may be read.
            readable = ["/"] if config.namespaced else self.read_only
            self.ruleset = landlock.make_ruleset(config.landlock_abi, readable, [self.home], _DEVICES)

    def _is_clean(self) -> bool:
        """Whether nothing but the source of the program was left, which is removed here."""
        with contextlib.suppress(OSError):
            os.unlink(self.home + "/main.py")
        if self.config.variant in ("range", "plain"):
            return leftovers.inodes_in_use(root.HOME) == self.empty_inodes
        # Here the folder belongs to the program, who may have changed it.
        return (
            self.config.variant != "single"
            and not leftovers.names_in(self.home)
            and leftovers.mode_is_private(self.home)
        )


_DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"]

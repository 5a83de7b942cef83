"""The seccomp filter: system calls that no program of a test suite needs and that widen the kernel's surface."""

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Sequence

from verl_coder.sandbox.isolation import linux

_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24
_NAMESPACE_FLAGS = 0x7E020080
"""CLONE_NEW* of clone(2): user, pid, net, ipc, uts, cgroup, mount, time."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10

# name: (x86_64, aarch64); None where the architecture has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "syslog": (103, 116),
    "personality": (135, 92),
    "ustat": (136, None),
    "sysfs": (139, None),
    "vhangup": (153, 58),
    "modify_ldt": (154, None),
    "pivot_root": (155, 41),
    "_sysctl": (156, None),
    "adjtimex": (159, 171),
    "chroot": (161, 51),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "mount": (165, 40),
    "umount2": (166, 39),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "lookup_dcookie": (212, 18),
    "clock_settime": (227, 112),
    "mbind": (237, 235),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "migrate_pages": (256, 238),
    "unshare": (272, 97),
    "move_pages": (279, 239),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "clock_adjtime": (305, 266),
    "setns": (308, 268),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "finit_module": (313, 273),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount_setattr": (442, 442),
    "quotactl_fd": (443, 443),
    "memfd_secret": (447, 447),
}
DENIED_CALLS = frozenset(_DENIED)
"""Names of the calls that no program may make."""
# Files in memory that no file system limits: nobody can count those on their way through a socket, or of a process that
# is not dumpable. A server makes some itself, so its container may not refuse them.
_UNCOUNTED = {"memfd_create": (319, 279)}
# A filter cannot read its flags, which are behind a pointer; libc falls back to clone() where clone3 is missing.
_MISSING = {"clone3": (435, 435)}
_SPECIAL = {"clone": (56, 220), "socket": (41, 198), "ioctl": (16, 29)}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def supported() -> bool:
    """Whether there is a table for this machine (x86_64, aarch64)."""
    return os.uname().machine in _ARCHITECTURES


def build_filter(*, allow_network: bool, allow_mount: bool) -> bytes:
    """The BPF program.

    `allow_network` permits IPv4 and IPv6 sockets (inside a private network namespace), `allow_mount` mount(2) and
    umount2(2) (for a keeper inside a mount namespace; its programs lack the capability).
    """
    column, architecture = _ARCHITECTURES[os.uname().machine]
    clone, socket, ioctl = (_SPECIAL[name][column] for name in ("clone", "socket", "ioctl"))
    families = (_AF_UNIX, _AF_INET, _AF_INET6) if allow_network else (_AF_UNIX,)
    code = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_JEQ, architecture, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
    ]
    if column == 0:
        # The x32 interface has numbers of its own.
        code += [_line(_JGE, 0x40000000, 0, 1), _refuse(errno.ENOSYS)]
    code += [
        _line(_JEQ, clone, 0, 4),
        _line(_LOAD, _ARGUMENT_0),
        _line(_JSET, _NAMESPACE_FLAGS, 0, 1),
        _refuse(errno.EPERM),
        _line(_RETURN, _ALLOW),
        _line(_JEQ, socket, 0, len(families) + 3),
        _line(_LOAD, _ARGUMENT_0),
        *(_line(_JEQ, family, len(families) - i, 0) for i, family in enumerate(families)),
        _refuse(errno.EACCES),
        _line(_RETURN, _ALLOW),
        _line(_JEQ, ioctl, 0, 5),
        _line(_LOAD, _ARGUMENT_1),
        _line(_JEQ, _TIOCSTI, 1, 0),
        _line(_JEQ, _TIOCLINUX, 0, 1),
        _refuse(errno.EPERM),
        _line(_RETURN, _ALLOW),
        _line(_JEQ, _MISSING["clone3"][column], 0, 1),
        _refuse(errno.ENOSYS),
    ]
    permitted = ("mount", "umount2") if allow_mount else ()
    numbers = (entry[column] for name, entry in (_DENIED | _UNCOUNTED).items() if name not in permitted)
    return b"".join(code + _search(sorted({number for number in numbers if number is not None})))


def _line(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)


def _refuse(error: int) -> bytes:
    return _line(_RETURN, _ERRNO | error)


def _search(denied: Sequence[int]) -> list[bytes]:
    """Binary search: the kernel evaluates the filter for every call number when a program installs it."""
    if len(denied) <= 3:
        lines = [_line(_JEQ, number, len(denied) - i, 0) for i, number in enumerate(denied)]
        return [*lines, _line(_RETURN, _ALLOW), _refuse(errno.EPERM)]
    middle = len(denied) // 2
    low, high = _search(denied[:middle]), _search(denied[middle:])
    return [_line(_JGE, denied[middle], len(low), 0), *low, *high]


def build_group_filter() -> bytes:
    """The BPF program under which setsid(2) and setpgid(2) do nothing: all descendants stay in one process group.

    So they can be killed at once, however fast they fork, where no pid namespace does it.
    """
    column, architecture = _ARCHITECTURES[os.uname().machine]
    numbers = ((112, 157)[column], (109, 154)[column])
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_JEQ, architecture, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
        _line(_JEQ, numbers[0], 2, 0),
        _line(_JEQ, numbers[1], 1, 0),
        _line(_RETURN, _ALLOW),
        _refuse(0),
    ]
    return b"".join(lines)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def install(program: bytes) -> None:
    """Install for this process and its future children; needs no_new_privs."""
    if prepared_install(program)() < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"seccomp: {os.strerror(error)}")


def prepared_install(program: bytes) -> Callable[[], int]:
    """The call that installs it, for a fresh process: -1 and errno on failure."""
    buffer = ctypes.create_string_buffer(program, len(program))
    value = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    call = linux.prepared_syscall(linux.SYS_SECCOMP, 1, 0, ctypes.addressof(value))

    def perform(_kept_alive: object = (buffer, value)) -> int:
        return call()

    return perform

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
}
# Its flags are behind a pointer, out of a filter's sight: libc falls back to clone() when it is missing.
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
    code: list[bytes] = []

    def add(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> None:
        code.append(struct.pack("=HBBI", operation, if_true, if_false, value))

    def refuse(error: int) -> None:
        add(_RETURN, _ERRNO | error)

    add(_LOAD, _ARCHITECTURE)
    add(_JEQ, architecture, 1, 0)
    add(_RETURN, _KILL)
    add(_LOAD, _NUMBER)
    if column == 0:
        # The x32 interface has numbers of its own.
        add(_JGE, 0x40000000, 0, 1)
        refuse(errno.ENOSYS)
    clone, socket, ioctl = (_SPECIAL[name][column] for name in ("clone", "socket", "ioctl"))
    add(_JEQ, clone, 0, 4)
    add(_LOAD, _ARGUMENT_0)
    add(_JSET, _NAMESPACE_FLAGS, 0, 1)
    refuse(errno.EPERM)
    add(_RETURN, _ALLOW)
    families = (_AF_UNIX, _AF_INET, _AF_INET6) if allow_network else (_AF_UNIX,)
    add(_JEQ, socket, 0, len(families) + 3)
    add(_LOAD, _ARGUMENT_0)
    for position, family in enumerate(families):
        add(_JEQ, family, len(families) - position, 0)
    refuse(errno.EACCES)
    add(_RETURN, _ALLOW)
    add(_JEQ, ioctl, 0, 5)
    add(_LOAD, _ARGUMENT_1)
    add(_JEQ, _TIOCSTI, 1, 0)
    add(_JEQ, _TIOCLINUX, 0, 1)
    refuse(errno.EPERM)
    add(_RETURN, _ALLOW)
    add(_JEQ, _MISSING["clone3"][column], 0, 1)
    refuse(errno.ENOSYS)
    permitted = ("mount", "umount2") if allow_mount else ()
    denied = sorted(
        {
            number
            for name, entry in _DENIED.items()
            if name not in permitted and (number := entry[column]) is not None
        }
    )
    code += _search(denied)
    return b"".join(code)


def _search(denied: Sequence[int]) -> list[bytes]:
    """Binary search: the kernel evaluates the filter for every call number when a program installs it."""
    if len(denied) <= 3:
        count = len(denied)
        lines = [struct.pack("=HBBI", _JEQ, count - i, 0, number) for i, number in enumerate(denied)]
        return [
            *lines,
            struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW),
            struct.pack("=HBBI", _RETURN, 0, 0, _ERRNO | errno.EPERM),
        ]
    middle = len(denied) // 2
    low, high = _search(denied[:middle]), _search(denied[middle:])
    return [struct.pack("=HBBI", _JGE, len(low), 0, denied[middle]), *low, *high]


def build_group_filter() -> bytes:
    """The BPF program under which setsid(2) and setpgid(2) do nothing: all descendants stay in one process group.

    So they can be killed at once, however fast they fork, where no pid namespace does it.
    """
    column, architecture = _ARCHITECTURES[os.uname().machine]
    numbers = ((112, 157)[column], (109, 154)[column])
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JEQ, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_JEQ, 2, 0, numbers[0]),
        (_JEQ, 1, 0, numbers[1]),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | 0),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


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

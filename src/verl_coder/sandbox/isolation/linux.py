"""The few system calls that Python 3.11 does not offer."""

import ctypes
import os
from collections.abc import Callable
from functools import partial

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 32, 4096, 16384, 1 << 19
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36

# The same numbers on x86_64 and aarch64 from 424 on.
SYS_MOUNT_SETATTR = 442
SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446
_MACHINE = os.uname().machine
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(_MACHINE, -1)
SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(_MACHINE, -1)
SYS_PRCTL = {"x86_64": 157, "aarch64": 167}.get(_MACHINE, -1)
SYS_CAPGET = {"x86_64": 125, "aarch64": 90}.get(_MACHINE, -1)
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}.get(_MACHINE, -1)


def _checked(result: int, what: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")
    return result


def syscall(number: int, *arguments: object) -> int:
    """Raw system call; OSError on failure."""
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments), f"syscall {number}")


def prepared_syscall(number: int, *arguments: int) -> Callable[[], int]:
    """A system call with its arguments made ready, for a fresh process: -1 and errno on failure."""
    return partial(_libc.syscall, ctypes.c_long(number), *map(ctypes.c_long, arguments))


def prepared_prctl(option: int, argument: int) -> Callable[[], int]:
    """prctl(2), prepared in the same way."""
    return prepared_syscall(SYS_PRCTL, option, argument, 0, 0, 0)


_fork = ctypes.PyDLL(None, use_errno=True).fork


def fork_bare() -> int:
    """fork(2) without the interpreter's handlers, which touch a hundred pages that the child must then copy.

    Only for a process with a single thread, which does not need them. `random` is not seeded anew.
    """
    pid = _fork()
    if pid < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"fork: {os.strerror(errno)}")
    return pid


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(_libc.unshare(flags), "unshare")


def prctl(option: int, argument: int = 0, argument3: int = 0) -> None:
    """prctl(2)."""
    zero = ctypes.c_ulong(0)
    _checked(
        _libc.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(argument3), zero, zero),
        f"prctl {option}",
    )


def set_name(name: str) -> None:
    """Name of this process in ps and top."""
    _checked(_libc.prctl(15, name.encode(), 0, 0, 0), "prctl PR_SET_NAME")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _checked(result, f"mount {target}")


def umount_detach(target: str) -> None:
    """umount2(2) with MNT_DETACH."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root_here() -> None:
    """Make the current directory the root and drop the old one: pivot_root(".", ".")."""
    syscall(SYS_PIVOT_ROOT, b".", b".")
    umount_detach(".")
    os.chdir("/")


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4


def set_mount_attributes(target: str, attributes: int) -> None:
    """mount_setattr(2), recursive: adds attributes to a tree of mounts."""
    value = _MountAttributes(attributes, 0, 0, 0)
    syscall(
        SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        target.encode(),
        _AT_RECURSIVE,
        ctypes.byref(value),
        ctypes.sizeof(value),
    )


def drop_bounding_set() -> None:
    """Empty the capability bounding set: no later exec can gain one."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            return


_CAPABILITY_VERSION_3 = 0x20080522


def prepared_drop_capabilities() -> Callable[[], int]:
    """A call that empties the effective, permitted and inheritable sets of its process."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    return partial(_libc.syscall, ctypes.c_long(SYS_CAPSET), ctypes.byref(header), ctypes.byref(data))


def clear_inheritable_capabilities() -> None:
    """Empty the inheritable set, the only one that a later change of user does not drop."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    syscall(SYS_CAPGET, ctypes.byref(header), ctypes.byref(data))
    data[2] = data[5] = 0
    syscall(SYS_CAPSET, ctypes.byref(header), ctypes.byref(data))

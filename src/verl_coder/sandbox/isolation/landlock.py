"""Landlock: which parts of the file tree, and which other processes, a program may touch."""

import ctypes
import os
from collections.abc import Callable, Sequence

from verl_coder.sandbox.isolation import linux

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_RULE_PATH_BENEATH = 1
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("handled_access_fs", "handled_access_net", "scoped")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def abi_version() -> int:
    """Version of the kernel's Landlock interface; 0 without Landlock."""
    try:
        return linux.syscall(linux.SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    except OSError:
        return 0


def _handled_access(abi: int) -> int:
    handled = (1 << 13) - 1
    if abi >= 2:
        handled |= _REFER
    if abi >= 3:
        handled |= _TRUNCATE
    if abi >= 5:
        handled |= _IOCTL_DEV
    return handled


def make_ruleset(abi: int, read_only: Sequence[str], writable: Sequence[str], devices: Sequence[str]) -> int:
    """Descriptor of a ruleset, to be enforced later by `prepared_restrict`; paths that do not exist are left out."""
    handled = _handled_access(abi)
    # Signals and abstract sockets stay inside from ABI 6 on.
    ruleset = _Ruleset(handled, 0, _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    descriptor = linux.syscall(
        linux.SYS_LANDLOCK_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0
    )
    device_access = _READ_FILE | _WRITE_FILE | (_TRUNCATE & handled) | (_IOCTL_DEV & handled)
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    try:
        for paths, access in ((read_only, reading), (writable, handled), (devices, device_access)):
            for path in paths:
                _allow(descriptor, path, access)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def prepared_restrict(ruleset: int) -> Callable[[], int]:
    """A call that confines its process and future children for good; needs no_new_privs."""
    return linux.prepared_syscall(linux.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            access &= _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
        rule = _PathBeneath(access, parent)
        linux.syscall(linux.SYS_LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)

"""Enter new namespaces; the next fork is then pid 1 of the new pid namespace."""

import fcntl
import os
import socket
import struct

from verl_coder.sandbox.isolation import linux

_WITHOUT_USER = (
    linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET
)
PROGRAM_UID = 1000
"""User id of programs inside a user namespace."""


def unshare_all(variant: str, host_uid: int) -> None:
    """New namespaces by variant.

    `range`: as root, a user namespace whose root and programs are the host's `host_uid` and `host_uid` + 1;
    `single`: as a normal user, who is the only user inside; `plain`: as root, no user namespace.
    """
    if variant == "plain":
        linux.unshare(_WITHOUT_USER)
    elif variant == "range":
        _unshare_with_range(host_uid)
    elif variant == "single":
        uid, gid = os.geteuid(), os.getegid()
        linux.unshare(_WITHOUT_USER | linux.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{PROGRAM_UID} {uid} 1")
        _write("/proc/self/gid_map", f"{PROGRAM_UID} {gid} 1")
    else:
        raise ValueError(variant)


def _unshare_with_range(host_uid: int) -> None:
    """Only a process outside may write a map of two ids, so a helper process does it."""
    me = os.getpid()
    ready_read, ready_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.close(ready_write)
            os.read(ready_read, 1)
            lines = f"0 {host_uid} 1\n{PROGRAM_UID} {host_uid + 1} 1\n"
            _write(f"/proc/{me}/uid_map", lines)
            _write(f"/proc/{me}/gid_map", lines)
            status = 0
        finally:
            os._exit(status)
    os.close(ready_read)
    try:
        linux.unshare(_WITHOUT_USER | linux.CLONE_NEWUSER)
    finally:
        os.close(ready_write)
        _, status = os.waitpid(helper, 0)
    if status:
        raise OSError("cannot map user ids")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def loopback_up() -> None:
    """Bring up `lo` of this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(probe, 0x8914, request)  # SIOCSIFFLAGS

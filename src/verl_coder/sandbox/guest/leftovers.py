"""Helpers of the keeper: which processes and files are left, and their removal."""

import contextlib
import os
import resource
import signal
import stat
from collections.abc import Container, Iterable
from typing import Any

from verl_coder.sandbox.guest.program import has_children

_SHARED_MEMORY = ("/dev/zero (deleted)", "/memfd:", "/SYSV")
"""Names of mappings whose memory belongs to no file system that a program sees."""


def open_if_there(path: str) -> int:
    """Descriptor for reading; -1 where there is no such file."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def kill_below(*, reap: bool, own_namespace: bool) -> None:
    """Kill every process below this one: all there are where this is pid 1 of its namespace."""
    if own_namespace and os.getpid() == 1:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
    elif not has_children():
        return
    else:
        for _ in range(200):
            pids = [pid for pid in descendants(os.getpid()) if not is_zombie(pid)]
            for pid in pids:
                kill(pid)
            if not pids:
                break
    if reap:
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            pass


def kill_group(pid: int) -> None:
    """Kill the process group that a program leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def reap_orphans(pid: int, child: int) -> None:
    """Reap the ended children of this process, `pid`, but for one."""
    for orphan in children(pid):
        if orphan != child:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(orphan, os.WNOHANG)


def private_memory(pids: Iterable[int], *, limit: int = 0) -> int:
    """Bytes of memory that the processes hold, once what several share: not what belongs to files.

    Exact above `limit`; below it, it may lack what is in shared mappings.
    """
    page = resource.getpagesize()
    private: dict[int, int] = {}
    mapped = 0
    in_memory: dict[tuple[int, int], int] = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm") as file:
                numbers = file.read().split()
            private[pid] = (int(numbers[1]) - int(numbers[2])) * page
            mapped += int(numbers[2]) * page
            in_memory.update(_memory_files(pid))
        except (OSError, IndexError, ValueError):
            continue
    total = sum(private.values()) + sum(in_memory.values())
    # Two bounds of what is shared, each dearer to find and closer than the one before.
    if total + mapped <= limit:
        return total
    touched = {pid: _shared_memory(pid) for pid in private}
    if total + sum(touched.values()) <= limit or not any(touched.values()):
        return total
    return total + sum(_share_of_mappings(pid, in_memory) for pid, size in touched.items() if size)


def _shared_memory(pid: int) -> int:
    """Bytes of shared memory that a process has mapped and touched."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("RssShmem:")), 0)
    except OSError:
        return 0


def _share_of_mappings(pid: int, counted: Container[tuple[int, int]]) -> int:
    """A process's share of the memory behind shared mappings: over all processes the shares add up to the whole.

    Not that of the `counted` files (device, inode), nor of files of the tmpfs, which is counted as a whole.
    """
    share, in_shared = 0, False
    try:
        with open(f"/proc/{pid}/smaps") as file:
            for line in file:
                words = line.split(maxsplit=5)
                if not words[0].endswith(":"):
                    major, minor = (int(part, 16) for part in words[3].split(":"))
                    key = (os.makedev(major, minor), int(words[4]))
                    in_shared = words[-1].startswith(_SHARED_MEMORY) and key not in counted
                elif in_shared and words[0] == "Pss:":
                    share += int(words[1]) << 10
    except (OSError, IndexError, ValueError):
        pass
    return share


def _memory_files(pid: int) -> dict[tuple[int, int], int]:
    """Bytes of each file in memory that a process has open and that has no name."""
    found = {}
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                about = os.stat(entry.path)
                if about.st_nlink == 0 and stat.S_ISREG(about.st_mode):
                    found[about.st_dev, about.st_ino] = about.st_blocks * 512
    return found


def bytes_in_use(path: str) -> int:
    """Bytes of a file system that are taken."""
    disk = os.statvfs(path)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def inodes_in_use(path: str) -> int:
    """Inodes of a file system that are taken."""
    disk = os.statvfs(path)
    return disk.f_files - disk.f_ffree


def names_in(path: str) -> list[str]:
    """Names in a folder; `?` for one that cannot be read."""
    try:
        return os.listdir(path)
    except OSError:
        return ["?"]


def mode_is_private(path: str) -> bool:
    """Whether the mode is 0700."""
    return os.lstat(path).st_mode & 0o7777 == 0o700


def tasks_of_user(uid: int) -> int:
    """Number of processes and threads that run as `uid`."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count


def children(pid: int) -> list[int]:
    """Children of a process's main thread."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(text) for text in file.read().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """All processes below one; children of any thread."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        try:
            threads = os.listdir(f"/proc/{current}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{current}/task/{thread}/children") as file:
                    children = [int(text) for text in file.read().split()]
            except OSError:
                continue
            found += children
            waiting += children
    return found


def is_zombie(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True


def kill(pid: int) -> None:
    """SIGKILL to a process, which may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def remove_tree(path: str) -> None:
    """Remove a folder whose owner may have made parts of it unreadable."""
    if not os.path.lexists(path):
        return
    import shutil

    def unlock(function: Any, name: str, _: Any) -> None:
        try:
            os.chmod(os.path.dirname(name), 0o700)
            if os.path.isdir(name) and not os.path.islink(name):
                os.chmod(name, 0o700)
                shutil.rmtree(name, onerror=unlock)
            else:
                os.unlink(name)
        except OSError:
            pass

    shutil.rmtree(path, onerror=unlock)

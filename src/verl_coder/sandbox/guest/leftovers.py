"""Helpers of the keeper: which processes and files are left, and their removal."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from verl_coder.sandbox.guest.program import has_children

_TURNS = 5000
_PAUSE_S = 0.001
"""For what was killed to end, which takes it a moment of the processor."""


def open_if_there(path: str) -> int:
    """Descriptor for reading; -1 where there is no such file."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def kill_below(*, reap: bool, own_namespace: bool) -> None:
    """Kill every process below this one: all there are where this is pid 1 of its namespace."""
    if own_namespace and os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    elif has_children():
        _stop_and_kill(os.getpid(), reap=reap)
    if reap:
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


def _stop_and_kill(pid: int, *, reap: bool) -> None:
    """Kill the descendants of a process, which may fork as fast as one after the other is killed.

    So they are stopped first, which frees no place for another below the limit of processes.
    """
    stopped: set[int] = set()
    for _ in range(_TURNS):
        if reap:
            # What has ended takes a place in the list no longer, and its own children have come to this process.
            reap_orphans(pid, 0)
        alive = [found for found in descendants(pid) if not is_zombie(found)]
        if not alive:
            return
        unseen = set(alive) - stopped
        for number in unseen or alive:
            kill(number, signal.SIGSTOP if unseen else signal.SIGKILL)
        stopped |= unseen
        if not unseen:
            time.sleep(_PAUSE_S)


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


def memory_in_use(
    pids: Iterable[int], *, on_tmpfs: int, limit: int = 0, called: Callable[[], bool] = lambda: False
) -> int:
    """Bytes of memory that processes hold, once what several share, and of a tmpfs: not what belongs to other files.

    Above `limit` no shared memory is left out; of what is shared and the tmpfs the larger one counts, since the same
    pages may be in both. Where `called` says so, what was found until then.
    """
    page = resource.getpagesize()
    private = mapped = 0
    places = []
    for pid in pids:
        if called():
            break
        place, resident, shared = _resident(pid)
        if resident:
            places.append(place)
            private += (resident - shared) * page
            mapped += shared * page
    total = private + on_tmpfs
    # Two bounds of what is shared, each dearer to find and closer than the one before.
    if total + mapped <= limit:
        return total
    touched = {place: _kilobytes(f"{place}/status", "RssShmem:") or 0 for place in places}
    if total + sum(touched.values()) <= limit:
        return total
    together = 0
    for place, size in touched.items():
        if size and not called():
            # Over all processes these shares add up to the whole. Of one that may not be looked at, all it has mapped.
            share = _kilobytes(f"{place}/smaps_rollup", "Pss_Shmem:")
            together += size if share is None else share
    return private + max(on_tmpfs, together)


def _resident(pid: int) -> tuple[str, int, int]:
    """Pages that a process has in memory and how many of them are shared; the folder below /proc that knows.

    Where the first thread has ended, it is that of another.
    """
    folder = f"/proc/{pid}"
    places = [folder]
    for place in places:
        try:
            with open(f"{place}/statm") as file:
                size, resident, shared = file.read().split(maxsplit=3)[:3]
            if size != "0":
                return place, int(resident), int(shared)
            if place is folder:
                places += [f"{folder}/task/{thread}" for thread in os.listdir(f"{folder}/task")]
        except (OSError, ValueError):
            continue
    return folder, 0, 0


def _kilobytes(path: str, name: str) -> int | None:
    """Bytes of a line `name ... kB` of a file below /proc; None where it may not be read or has no such line.

    0 where the process has ended meanwhile: it holds nothing any more.
    """
    try:
        with open(path) as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith(name)), None)
    except ProcessLookupError:
        return 0
    except OSError:
        return None if os.path.exists(os.path.dirname(path)) else 0


def cpu_s_in_use(pids: Iterable[int]) -> float:
    """Seconds of processor time that processes and their reaped children have taken."""
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
        except (OSError, ValueError):
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def cpu_s_of_reaped() -> float:
    """The same of all that this process has reaped, and what they had reaped."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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
    return is_in_state(pid, "ZX")


def is_in_state(pid: int, states: str) -> bool:
    """Whether the state of a process is one of the letters of proc(5); one that is gone is in any."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in states
    except (OSError, IndexError):
        return True


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """A signal to a process, which may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


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

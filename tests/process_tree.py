"""The processes of a server, seen from outside."""

import contextlib
import os


def children_by_parent() -> dict[int, list[int]]:
    """Every process on the machine that has children -> those."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
            children.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(name))
    return children


def processes_below(pid: int, children: dict[int, list[int]] | None = None) -> list[int]:
    """All descendants of a process, by `children` if given."""
    children = children_by_parent() if children is None else children
    found: list[int] = []
    waiting = [pid]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def leaves_below(pid: int) -> list[int]:
    """Those of them that have no child: a server's programs."""
    children = children_by_parent()
    return [process for process in processes_below(pid, children) if process not in children]

"""The processes of a server, seen from outside."""

import psutil


def children_by_parent() -> dict[int, list[int]]:
    """Every process on the machine that has children -> those."""
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid"]):
        children.setdefault(process.info["ppid"], []).append(process.pid)
    return children


def processes_below(pid: int) -> list[int]:
    """All descendants of a process; none of one that has ended."""
    try:
        return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def leaves_below(pid: int) -> list[int]:
    """Those of them that have no child: a server's programs."""
    children = children_by_parent()
    return [process for process in processes_below(pid) if process not in children]

"""What exists on the machine because of a server, counted before and after a soak."""

import contextlib
import glob
import os

import psutil


def processes_below(pid: int) -> set[int]:
    """A process and all its descendants."""
    return {pid, *(process.pid for process in psutil.Process(pid).children(recursive=True))}


def slots(pid: int) -> set[int]:
    """The keepers of a server's slots: children of its zygotes."""
    return {keeper.pid for zygote in psutil.Process(pid).children() for keeper in zygote.children()}


def cpu_seconds(pid: int) -> float:
    """CPU time of a server and of all programs that its present slots ran."""
    total = 0
    for process in processes_below(pid):
        with contextlib.suppress(OSError):
            with open(f"/proc/{process}/stat") as file:
                total += sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def census(pid: int) -> dict[str, int]:
    """Processes, descriptors, mounts (the machine's and those of all slots), files of programs, memory."""
    below = processes_below(pid)
    memory_kb = descriptors = files = mounts = 0
    namespaces: set[str] = set()
    for process in below:
        with contextlib.suppress(OSError, StopIteration):
            descriptors += len(os.listdir(f"/proc/{process}/fd"))
            with open(f"/proc/{process}/smaps_rollup") as file:
                memory_kb += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
            namespace = os.readlink(f"/proc/{process}/ns/mnt")
            if namespace in namespaces:
                continue
            namespaces.add(namespace)
            with open(f"/proc/{process}/mounts") as file:
                mounts += len(file.readlines())
            for home in ("tmp", "box"):
                files += _files_below(f"/proc/{process}/root/{home}", not_device=os.stat("/tmp").st_dev)
    return {
        "processes": len(below),
        "server_descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "all_descriptors": descriptors,
        "mounts": mounts,
        "program_files": files + sum(map(_files_below, glob.glob("/tmp/verl-coder-sandbox-*"))),
        "memory_kb": memory_kb,
    }


def _files_below(folder: str, not_device: int = -1) -> int:
    """Files of a folder, none where it lies on the given device: then it is the machine's own."""
    if not os.path.isdir(folder) or os.stat(folder).st_dev == not_device:
        return 0
    return sum(len(files) for _, _, files in os.walk(folder))

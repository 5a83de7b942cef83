"""The control groups of this process: a container, a job of Slurm or a unit of systemd may have less than the machine.

Of both versions of the kernel's. A limit counts for all groups below it, so each one above this process is asked.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_OWN, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_LIMIT = ("memory.max", "memory.limit_in_bytes")
_USED = ("memory.current", "memory.usage_in_bytes")
_CACHE = re.compile(r"^(?:total_)?((?:in)?active_file) (\d+)$", re.M)
"""Of memory.stat: pages of files, which go where memory is asked for. Version 1 sums up the groups below as total_."""


def own_groups() -> list[Path]:
    """Folders of this process's groups, the innermost first; a container sees its own as the root."""
    found: list[Path] = []
    with suppress(OSError):
        for line in _OWN.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root = _GROUPS / "memory" if controllers else _GROUPS
            inner = root / name.strip("/")
            found += [inner, *(folder for folder in inner.parents if folder.is_relative_to(root))]
    return list(dict.fromkeys([*found, _GROUPS, _GROUPS / "memory"]))


def memory_limit() -> int | None:
    """Bytes that this process's groups may have; None where none of them has a limit."""
    return min((limit for _, limit in _limited()), default=None)


def memory_room() -> int | None:
    """Bytes that they may have beside what they have, without files that are only kept; None without a limit."""
    return min((max(limit - _used(folder), 0) for folder, limit in _limited()), default=None)


def _limited() -> Iterator[tuple[Path, int]]:
    for folder in own_groups():
        limit = _number(folder, _LIMIT)
        if limit is not None:
            yield folder, limit


def _used(folder: Path) -> int:
    used = _number(folder, _USED) or 0
    with suppress(OSError):
        # Version 1 has each of them twice: the later line is the sum.
        used -= sum(map(int, dict(_CACHE.findall((folder / "memory.stat").read_text())).values()))
    return max(used, 0)


def _number(folder: Path, names: tuple[str, ...]) -> int | None:
    for name in names:
        with suppress(OSError, ValueError):  # the word `max` is no limit
            return int((folder / name).read_text())
    return None

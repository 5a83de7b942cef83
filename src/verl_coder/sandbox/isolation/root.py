"""The minimal read-only root of a slot, and its private tmpfs."""

import contextlib
import os
import stat
import sys
from collections.abc import Mapping

from verl_coder.sandbox.isolation import linux
from verl_coder.sandbox.isolation.linux import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC, MS_SLAVE

_DEVICES = ("null", "zero", "full", "random", "urandom")
_ETC_FILES = ("ld.so.cache", "localtime", "alternatives", "mime.types")
_PASSWD = "root:x:0:0::/:/bin/false\nrunner:x:1000:1000::/tmp:/bin/bash\n"
_GROUP = "root:x:0:\nrunner:x:1000:\n"
_STAGES = ("/mnt", "/media", "/srv", "/opt", "/sys", "/var", "/tmp")


def visible_folders() -> list[str]:
    """Folders a program may read: the system's libraries and tools, and this interpreter."""
    wanted = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32"]
    interpreter = [sys.base_prefix, sys.exec_prefix, sys.prefix]
    # Any of them may be a link, as a .venv on another disk is: what it leads to belongs to the interpreter.
    wanted += [*map(os.path.realpath, interpreter), *interpreter]
    kept: list[str] = []
    for path in wanted:
        if os.path.exists(path) and not any(path == other or path.startswith(other + "/") for other in kept):
            kept.append(path)
    return kept


_LINKS = {path: os.path.realpath(path) for path in visible_folders() if os.path.islink(path)}
"""Looked up by the server itself: what builds the root may not be allowed to."""
HOME = "/box" if any(path.startswith("/tmp/") for path in visible_folders()) else "/tmp"
"""Folder of the private tmpfs, which must not cover an interpreter below /tmp."""


def open_sources() -> dict[str, int]:
    """O_PATH descriptors of everything that is bound into the root, opened while the paths are reachable."""
    paths = [path for path in visible_folders() if path not in _LINKS]
    paths += [f"/dev/{name}" for name in _DEVICES]
    paths += [f"/etc/{name}" for name in _ETC_FILES if os.path.exists(f"/etc/{name}")]
    return {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths}


def _stage(sources: Mapping[str, int]) -> str:
    for path in _STAGES:
        if os.path.isdir(path) and not any(
            source.startswith(path + "/") or source == path for source in sources
        ):
            return path
    raise OSError("no folder to build the root on")


def build_root(sources: Mapping[str, int], *, tmpfs_options: str) -> None:
    """Build the root in this mount namespace and move into it; /proc only where the kernel allows it."""
    linux.mount("none", "/", None, MS_REC | MS_SLAVE)
    stage = _stage(sources)
    linux.mount("root", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    os.chdir(stage)
    for path, descriptor in sources.items():
        _bind(path, descriptor)
    for path, target in _LINKS.items():
        os.makedirs("." + os.path.dirname(path), exist_ok=True)
        os.symlink(target, "." + path)
    for name, target in (("fd", "/proc/self/fd"), ("shm", HOME), ("stdin", "/proc/self/fd/0")):
        if not os.path.lexists(f"dev/{name}"):  # an interpreter may lie below /dev/shm
            os.symlink(target, f"dev/{name}")
    os.symlink("/proc/self/fd/1", "dev/stdout")
    os.symlink("/proc/self/fd/2", "dev/stderr")
    for name, text in (
        ("passwd", _PASSWD),
        ("group", _GROUP),
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ):
        with open(f"etc/{name}", "w") as file:
            file.write(text)
    os.makedirs("proc")
    os.makedirs("." + HOME, exist_ok=True)
    _mount_proc()
    mount_tmpfs("." + HOME, tmpfs_options)
    linux.pivot_root_here()
    flags = linux.MS_REMOUNT | MS_BIND | linux.MS_RDONLY | MS_NOSUID | MS_NODEV
    linux.mount("none", "/", None, flags)


def _bind(path: str, descriptor: int) -> None:
    target = "." + path
    # By descriptor, because this user may no longer be able to reach the path.
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    linux.mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND | MS_REC)
    attributes = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID
    if not path.startswith("/dev/"):
        attributes |= linux.MOUNT_ATTR_NODEV
    linux.set_mount_attributes(target, attributes)


def _mount_proc() -> None:
    # In a container with a masked /proc the kernel refuses a new one: programs then have none.
    # A process that is not dumpable would be hidden from the keeper too, but for the group.
    hidden = f"hidepid=2,gid={os.getegid()}"
    for options in (f"{hidden},subset=pid", hidden, "hidepid=2"):
        with contextlib.suppress(OSError):
            linux.mount("proc", "./proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
            return


def mount_tmpfs(target: str, options: str) -> None:
    """An empty private tmpfs."""
    linux.mount("tmp", target, "tmpfs", MS_NOSUID | MS_NODEV, options)


def uncover_interpreter() -> None:
    """Without a root of its own: make an interpreter below a private folder (0700) reachable for another user.

    In a mount namespace of this slot the private folder is covered by an empty one that shows only the interpreter.
    """
    hidden = {path: cover for path in visible_folders() if (cover := _private_ancestor(path))}
    if not hidden:
        return
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, MS_REC | MS_SLAVE)
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in hidden}
    for cover in set(hidden.values()):
        linux.mount("cover", cover, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for path, descriptor in sources.items():
        os.makedirs(path)
        linux.mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND | MS_REC)
        os.close(descriptor)


def _private_ancestor(path: str) -> str:
    """The topmost folder on the way to `path` that others may not enter; empty when there is none."""
    parts = path.split("/")
    for end in range(2, len(parts) + 1):
        ancestor = "/".join(parts[:end])
        if not os.stat(ancestor).st_mode & 0o001:
            return ancestor
    return ""

"""As root: a process as a container engine would start it by the settings of a service of compose.yaml.

    python tests/docker/container.py SERVICE.json COMMAND...

Own mounts (a read-only root where the service says so, its tmpfs, a /proc masked unless it says otherwise), its user,
no capability, no_new_privs, and its seccomp profile, or in the place of a missing one those of our calls that Docker's
default profile refuses to a process without CAP_SYS_ADMIN.
"""

import json
import os
import sys
from pathlib import Path

from verl_coder.sandbox.isolation import linux, root, seccomp
from verl_coder.sandbox.isolation.container_profile import NEEDED

MS_PRIVATE = 1 << 18


def main() -> None:
    """Never returns."""
    service = json.loads(Path(sys.argv[1]).read_text())
    options = service.get("security_opt", [])
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | MS_PRIVATE)
    root.uncover_interpreter()
    if service.get("read_only"):
        linux.set_mount_attributes("/", linux.MOUNT_ATTR_RDONLY)
    for entry in service.get("tmpfs", []):
        place, _, settings = entry.partition(":")
        linux.mount("tmp", place, "tmpfs", 0, settings)
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    if "systempaths=unconfined" not in options:
        linux.mount("/dev/null", "/proc/keys", None, linux.MS_BIND)
    user, _, group = service["user"].partition(":")
    os.setgroups([])
    os.setresgid(int(group), int(group), int(group))
    if service.get("cap_drop") == ["ALL"]:
        linux.drop_bounding_set()
    os.setresuid(int(user), int(user), int(user))
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(_filter(refused_calls(options)))
    os.chdir("/")
    os.execv(sys.argv[2], sys.argv[2:])


def refused_calls(options: list[str]) -> list[str]:
    """By the service's own profile, else by the engine's."""
    for option in options:
        if option.startswith("seccomp="):
            place = Path(__file__).parents[2] / "docker" / option.partition("=")[2]
            profile = json.loads(place.read_text())
            return [name for rule in profile["syscalls"] for name in rule["names"]]
    return list(NEEDED)


def _filter(names: list[str]) -> bytes:
    column, architecture = seccomp._ARCHITECTURES[os.uname().machine]
    numbers = {seccomp._DENIED[name][column] for name in names} - {None}
    head = [
        seccomp._line(seccomp._LOAD, seccomp._ARCHITECTURE),
        seccomp._line(seccomp._JEQ, architecture, 1, 0),
        seccomp._line(seccomp._RETURN, seccomp._KILL),
        seccomp._line(seccomp._LOAD, seccomp._NUMBER),
    ]
    return b"".join(head + seccomp._search(sorted(numbers)))  # type: ignore[type-var]


if __name__ == "__main__":
    main()

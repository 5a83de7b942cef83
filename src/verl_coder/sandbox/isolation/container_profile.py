"""The seccomp profile of the sandbox's container: `python -m verl_coder.sandbox.isolation.container_profile`.

A container engine's default refuses the calls that make a slot. This one refuses what no program of a slot may do
either (seccomp.py), but for those calls; inside a slot they are refused again.
"""

import json

from verl_coder.files import write_atomically
from verl_coder.paths import repository_root
from verl_coder.sandbox.isolation import seccomp

NEEDED = ("mount", "mount_setattr", "pivot_root", "umount2", "unshare")
"""System calls of isolation/namespaces.py and isolation/root.py that an engine's default profile refuses."""
PLACE = "docker/sandbox_seccomp.json"


def profile() -> dict[str, object]:
    """In the form that Docker, Podman and Kubernetes read."""
    refused = sorted(seccomp.DENIED_CALLS - set(NEEDED))
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    }


def text() -> str:
    """As it stands in the file."""
    return json.dumps(profile(), indent=1) + "\n"


if __name__ == "__main__":
    write_atomically(repository_root() / PLACE, text())

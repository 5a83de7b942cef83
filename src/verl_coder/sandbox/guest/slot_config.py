"""What the server and a slot's keeper agree on: how the slot is made, and the words of its status socket."""

from typing import NamedTuple

from verl_coder.sandbox.isolation import namespaces

EXIT_FORMAT = "=ciiQ"
"""'X', wait status, flags, CPU microseconds."""
KILLED_BY_ORDER, KILLED_FOR_MEMORY, UNCLEAN = 1, 2, 4


class SlotConfig(NamedTuple):
    """How a slot is to be made; `variant` is range, single, plain, light or none.

    No dataclass: that module brings a megabyte along, which every fork would pay for.
    """

    slot: int
    variant: str
    host_uid: int
    work_dir: str
    processes: int
    tmpfs_mb: int
    tmpfs_inodes: int
    memory_mb: int
    landlock_abi: int
    seccomp_filter: bytes

    @property
    def namespaced(self) -> bool:
        return self.variant in ("range", "single", "plain")

    @property
    def tmpfs_options(self) -> str:
        # Owned by root, so that no program can change the folder itself; `single` has no other user.
        owner = namespaces.PROGRAM_UID if self.variant == "single" else 0
        return f"mode=1777,size={self.tmpfs_mb}m,nr_inodes={self.tmpfs_inodes},uid={owner},gid={owner}"

"""Dropping privileges in two steps: what a keeper drops and its programs inherit, and what only a program drops.

A program's process copies every page that it writes, so it inherits as much as possible, and the calls that it makes
itself are prepared beforehand.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Sequence

from verl_coder.sandbox.guest import leftovers
from verl_coder.sandbox.guest.slot_config import SlotConfig
from verl_coder.sandbox.isolation import landlock, linux, namespaces, root, seccomp

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Confinement:
    """Made in the keeper, which it confines as far as its own work allows; `enter` confines a program for good."""

    def __init__(self, config: SlotConfig, home: str) -> None:
        self._config = config
        self._home = home
        self._ruleset = -1
        self._read_only: Sequence[str] = [*root.visible_folders(), "/etc"]
        self._process_limit = config.processes
        self._uid = 0
        if config.variant == "range":
            self._uid = namespaces.PROGRAM_UID
        elif config.variant in ("plain", "light") and os.geteuid() == 0:
            self._uid = config.host_uid
        self._shares_uid = config.variant == "light" and not self._uid
        if self._shares_uid:
            # The limit counts all tasks of the user, the server's and other programs' among them.
            self._process_limit = leftovers.tasks_of_user(os.getuid()) + 8 * config.processes
        self._calls = self._prepare_calls()

    def confine_keeper(self) -> None:
        """Limits, no_new_privs and seccomp, all inherited by programs.

        The filter leaves mount(2) and umount2(2) to a keeper with namespaces, which empties /tmp with them; in a
        program they fail for want of a capability, and under Landlock.
        """
        config = self._config
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
        except OSError:
            pass
        if config.variant == "none":
            return
        if self._uid:
            if config.variant != "range":
                os.setgroups([])
            linux.clear_inheritable_capabilities()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        _apply_fixed_limits(file_mb=config.tmpfs_mb)
        if not self._shares_uid:
            _apply_process_limit(self._process_limit)
        if config.seccomp_filter:
            seccomp.install(config.seccomp_filter)

    def renew_ruleset(self) -> None:
        """Landlock's rules name the working folder itself, so a new folder needs new rules."""
        config = self._config
        if not config.landlock_abi or config.variant == "none":
            return
        if self._ruleset >= 0:
            os.close(self._ruleset)
        # In a root of its own everything may be read.
        readable = ["/"] if config.namespaced else self._read_only
        self._ruleset = landlock.make_ruleset(config.landlock_abi, readable, [self._home], _DEVICES)
        self._calls = self._prepare_calls()

    def _prepare_calls(self) -> list[tuple[Callable[[], int], str]]:
        config = self._config
        calls: list[tuple[Callable[[], int], str]] = []
        if config.variant == "none":
            return calls
        if config.variant == "single" or (config.variant == "light" and not self._uid):
            calls.append((linux.prepared_drop_capabilities(), "capset"))
        if config.namespaced:
            # A change of user closes /proc/self to the program.
            calls.append((linux.prepared_prctl(linux.PR_SET_DUMPABLE, 1), "prctl PR_SET_DUMPABLE"))
        else:
            # Nothing else would end the program if this keeper were killed.
            death = linux.prepared_prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            calls.append((death, "prctl PR_SET_PDEATHSIG"))
            if config.seccomp_filter:
                calls.append((seccomp.prepared_install(seccomp.build_group_filter()), "seccomp"))
        if self._ruleset >= 0:
            calls.append((landlock.prepared_restrict(self._ruleset), "landlock_restrict_self"))
        return calls

    def enter(self) -> None:
        """Confine the program's process for good. OSError where a step is refused."""
        uid = self._uid
        if uid:
            # From root to another user: drops the capabilities with it.
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        if self._shares_uid:
            _apply_process_limit(self._process_limit)
        for call, name in self._calls:
            if call() < 0:
                raise OSError(ctypes.get_errno(), name)


def _apply_fixed_limits(*, file_mb: int) -> None:
    """Limits that do not depend on the request; hard ones, so that nothing inside can raise them."""
    for limit in (
        resource.RLIMIT_CORE,
        resource.RLIMIT_MEMLOCK,
        resource.RLIMIT_MSGQUEUE,
        resource.RLIMIT_RTPRIO,
    ):
        resource.setrlimit(limit, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_mb << 20, file_mb << 20))
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))


def _apply_process_limit(processes: int) -> None:
    """Processes and threads of the user that this process is."""
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))

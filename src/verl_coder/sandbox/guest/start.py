"""From a fork of the zygote to the keeper of a slot: namespaces, root, streams, then the keeper's loop."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from verl_coder.sandbox.guest import program
from verl_coder.sandbox.guest.keeper import Keeper
from verl_coder.sandbox.guest.slot_config import SlotConfig
from verl_coder.sandbox.isolation import linux, namespaces, root


def start_keeper(config: SlotConfig, status: socket.socket, control: socket.socket) -> Callable[[], NoReturn]:
    """In a fork of the zygote: become (or fork) the keeper and serve; in a program's process, what it is to run."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        linux.set_name("sandbox-slot")
        last_pid = -1
        if config.namespaced:
            namespaces.unshare_all(config.variant, config.host_uid)
            keeper = os.fork()
            if keeper:
                status.send(b"P%d" % keeper)
                os._exit(0)
            last_pid = _open_last_pid()
            _enter_root(config)
        else:
            status.send(b"P%d" % os.getpid())
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
            if config.variant == "light" and os.geteuid() == 0:
                root.uncover_interpreter()
        home = root.HOME if config.namespaced else config.work_dir
        _prepare_interpreter(home)
        return Keeper(config, home, status, control, last_pid).serve()
    except BaseException as error:
        with contextlib.suppress(OSError):
            status.send(b"E" + f"{type(error).__name__}: {error}".encode()[:500])
    os._exit(1)


def _open_last_pid() -> int:
    """Descriptor of the counter of process ids, which the slot's own /proc does not have; -1 where it is read only."""
    try:
        return os.open("/proc/sys/kernel/ns_last_pid", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _enter_root(config: SlotConfig) -> None:
    # Opened in the new mount namespace, and while this is still the user who may reach all the paths.
    sources = root.open_sources()
    if config.variant == "range":
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    root.build_root(sources, tmpfs_options=config.tmpfs_options)
    for descriptor in sources.values():
        os.close(descriptor)
    namespaces.loopback_up()
    linux.drop_bounding_set()


def _prepare_interpreter(home: str) -> None:
    """Everything about the interpreter that is the same for all programs of the slot."""
    null = os.open("/dev/null", os.O_RDWR)
    pipe = os.pipe()
    for target, descriptor in enumerate((null, pipe[1], pipe[1])):
        os.dup2(descriptor, target)
    program.open_streams()
    for target in (1, 2):
        os.dup2(null, target)
    for descriptor in (null, *pipe):
        if descriptor > 2:
            os.close(descriptor)
    os.environ["HOME"] = os.environ["TMPDIR"] = home
    sys.argv = [home + "/main.py"]
    sys.orig_argv = [sys.executable, *sys.argv]
    sys.path[:] = [home] + [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    sys.dont_write_bytecode = True

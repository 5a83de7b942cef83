"""The zygote: a small process with the usual modules loaded, forked once for each slot.

Started by `nursery.py` with the arguments FD, a flavour (lean, full, judge-lean or judge-full) and a file's number, -1
or that of a program to hold; reads slot configurations from that socket and ends, with everything below it, when the
server's end closes.
"""

import gc
import marshal
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from verl_coder.sandbox.guest import held, program
from verl_coder.sandbox.guest.slot_config import SlotConfig
from verl_coder.sandbox.guest.start import start_keeper
from verl_coder.sandbox.isolation import linux

# What programs of training sets import most. Every loaded page makes each fork dearer, so what is large
# (numpy, pytest, dataclasses) is only in the zygote whose slots run the programs that mention it.
_LEAN = [
    "abc",
    "bisect",
    "collections",
    "collections.abc",
    "contextlib",
    "copy",
    "datetime",
    "enum",
    "functools",
    "heapq",
    "io",
    "itertools",
    "json",
    "linecache",
    "math",
    "operator",
    "os",
    "queue",
    "random",
    "re",
    "string",
    "threading",
    "time",
    "traceback",
    "types",
    "typing",
]
_FULL = [
    "argparse",
    "ast",
    "base64",
    "calendar",
    "cmath",
    "csv",
    "dataclasses",
    "decimal",
    "fractions",
    "hashlib",
    "inspect",
    "logging",
    "pprint",
    "statistics",
    "struct",
    "subprocess",
    "tempfile",
    "textwrap",
    "unittest",
    "uuid",
    "numpy",
    "numpy.random",
    "pytest",
    "_pytest.assertion.rewrite",
    # What pytest.main() imports at its start.
    "_pytest.helpconfig",
    "_pytest.junitxml",
    "_pytest.pastebin",
    "_pytest.setuponly",
    "_pytest.setupplan",
    "_pytest.skipping",
    "_pytest.threadexception",
    "_pytest.tracemalloc",
    "_pytest.unittest",
    "_pytest.unraisableexception",
    "_pytest.warnings",
]


_JUDGE = ["ast", "opcode"]


def _preload() -> None:
    full = sys.argv[2].endswith("full")
    # Long-lived programs run in full slots; their modules must be loaded before the root is gone.
    own = ["verl_coder.sandbox.guest.session", "verl_coder.sandbox.guest.debugger_process"] if full else []
    judge = _JUDGE if sys.argv[2].startswith("judge") else []
    for name in [*_LEAN, *(_FULL if full else []), *judge, *own]:
        try:
            __import__(name)
        except Exception as error:
            print(f"sandbox: {name} is not available to programs: {error}", file=sys.stderr)
    if (number := int(sys.argv[3])) >= 0:
        with open(number, "rb") as file:
            held.hold(file.read())


def main() -> Callable[[], NoReturn]:
    """Serve fork requests until the server is gone; in a program's process, what it is to run.

    It runs on top of the stack, so that the program finds few frames below its own.
    """
    # It has been read; programs find the environment that a plain run has.
    os.environ.pop("PYTHONHASHSEED", None)
    server = socket.socket(fileno=int(sys.argv[1]))
    _preload()
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A terminal's Ctrl-C is for the server, which ends us by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    program.settle()
    server.send(marshal.dumps({"address_space": program.address_space_in_use()}))
    while True:
        message, descriptors, _, _ = socket.recv_fds(server, 1 << 16, 2)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            # A run blocks it for all that it starts; programs find what a plain run has.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            server.close()
            gc.enable()
            status, control = (socket.socket(fileno=descriptor) for descriptor in descriptors)
            return start_keeper(SlotConfig(**marshal.loads(message)), status, control)
        for descriptor in descriptors:
            os.close(descriptor)

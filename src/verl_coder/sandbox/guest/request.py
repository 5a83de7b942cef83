"""The one request of a program's process: take it, take the program's place, run what it asks for."""

import _random
import marshal
import os
import random
import resource
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from verl_coder.sandbox.guest import program

_MAX_MESSAGE = 1 << 17
_PASSED_FDS = socket.CMSG_SPACE(8 * 4)


def take(control: socket.socket, main_file: str) -> Callable[[], NoReturn]:
    """Wait for the one request of this process, take its place; what is to run then."""
    try:
        request = _receive(control)
        if request is None:
            os._exit(0)
        spec, descriptors = request
        extra = _take_place(spec, descriptors)
    except BaseException as error:
        os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
        os._exit(125)
    operation = spec["op"]
    if operation == "python":
        if extra >= 0:
            os.environ["PEER_FD"] = str(extra)
        return partial(program.run_python, spec["code"], main_file)
    if operation == "bash":
        return partial(program.run_bash, spec["code"])
    if operation == "pytest":
        return partial(program.run_pytest, spec["code"])
    if operation == "fetch":
        return partial(_fetch, spec["paths"], spec["limit"])
    return partial(_converse, spec, extra)


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The request and its descriptors; None when the server is gone."""
    message, ancillary, _, _ = control.recvmsg(_MAX_MESSAGE, _PASSED_FDS)
    control.detach()
    if not message:
        return None
    descriptors: list[int] = []
    for _, _, data in ancillary:
        descriptors += memoryview(data).cast("i")
    if message[:1] == b"F":
        # Too long for one datagram: the last descriptor is a memory file.
        memory = descriptors.pop()
        return marshal.loads(os.pread(memory, os.fstat(memory).st_size, 0)), descriptors
    return marshal.loads(memoryview(message)[1:]), descriptors


def _take_place(spec: dict[str, Any], descriptors: list[int]) -> int:
    """Install stdin, stdout, stderr, limits and files; the descriptor of the peer or channel, else -1."""
    for target, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, target)
    extra = -1
    if len(descriptors) > 3:
        extra = os.dup2(descriptors[3], 3)
        os.set_inheritable(extra, True)
    # The keeper's sockets are among them.
    os.closerange(4 if extra >= 0 else 3, 512)
    _limit(address_space=spec["address_space"], cpu_s=spec["cpu_s"])
    # os.fork would have seeded `random` anew; nothing does so for numpy.
    _random.Random.seed(random._inst)  # type: ignore[attr-defined]
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    for path, content in spec["files"].items():
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    return extra


def _limit(*, address_space: int, cpu_s: int) -> None:
    """Hard limits of this request, in bytes and seconds; 0 leaves a limit as it is."""
    if address_space:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    if cpu_s:
        # SIGXCPU first, SIGKILL a second later.
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))


def _converse(spec: dict[str, Any], channel_fd: int) -> NoReturn:
    """Answer commands until the server closes the channel; never returns."""
    # Imported here, because only full slots have these loaded: in lean ones they would make every fork dearer.
    from verl_coder.sandbox.guest.channel import Channel
    from verl_coder.sandbox.guest.debugger_process import serve_debugger
    from verl_coder.sandbox.guest.session import Interpreter

    channel = Channel(channel_fd)
    if spec["kind"] == "debugger":
        serve_debugger(channel, spec["code"])
    else:
        Interpreter(channel).serve()
    program.finish(0)


def _fetch(paths: list[str], limit: int) -> NoReturn:
    """Write the files that exist and are plain, inside the working folder, to stdout; `limit` bytes in all."""
    home = os.path.realpath(os.getcwd())
    found = {}
    for path in paths:
        try:
            real = os.path.realpath(path)
            if not real.startswith(home + "/"):
                continue
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            if not os.path.isfile(real) or os.fstat(descriptor).st_size > limit:
                continue
            with os.fdopen(descriptor, "rb") as file:
                found[path] = file.read(limit)
        except OSError:
            continue
        limit -= len(found[path])
    with os.fdopen(1, "wb") as output:
        output.write(marshal.dumps(found))
    os._exit(0)

"""What happens in a program's own process: take the request, take its place, run."""

import _random
import _thread
import atexit
import builtins
import gc
import marshal
import os
import random
import resource
import signal
import socket
import sys
import threading
import traceback
import types
from typing import Any

from verl_coder.sandbox.isolation import limits

_MAX_MESSAGE = 1 << 17


_PASSED_FDS = socket.CMSG_SPACE(8 * 4)


def start(control: socket.socket, main_file: str) -> None:
    """Wait for the one request of this process, take its place, run it; never returns."""
    try:
        request = receive_request(control)
        if request is None:
            os._exit(0)
        spec, descriptors = request
        extra = take_place(spec, descriptors)
    except BaseException as error:
        os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
        os._exit(125)
    if spec["op"] == "python":
        if extra >= 0:
            os.environ["PEER_FD"] = str(extra)
        run_python(spec["code"], main_file)
    run(spec, extra)


def receive_request(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
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


def take_place(spec: dict[str, Any], descriptors: list[int]) -> int:
    """Install stdin, stdout, stderr, limits and files; the descriptor of the peer or channel, else -1."""
    for target, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, target)
    extra = -1
    if len(descriptors) > 3:
        extra = os.dup2(descriptors[3], 3)
        os.set_inheritable(extra, True)
    # The keeper's sockets are among them.
    os.closerange(4 if extra >= 0 else 3, 512)
    limits.apply_request_limits(address_space=spec["address_space"], cpu_s=spec["cpu_s"])
    # A fork by os.fork would have done this for `random`; for numpy nobody does.
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


def run(spec: dict[str, Any], extra: int) -> None:
    """Run a request of another kind; never returns."""
    operation = spec["op"]
    if operation == "bash":
        run_bash(spec["code"])
    elif operation == "pytest":
        run_pytest(spec["code"])
    elif operation == "fetch":
        fetch(spec["paths"], spec["limit"])
    elif operation == "session":
        from verl_coder.sandbox.guest import session

        session.serve(extra, spec)
    os._exit(1)


def new_main_module(path: str) -> types.ModuleType:
    """A fresh `__main__`, as the interpreter would make it."""
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    module.__dict__["__file__"] = path
    sys.modules["__main__"] = module
    return module


def run_python(code: str, path: str) -> None:
    """As `python main.py` would."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        # One of the request's own files.
        pass
    else:
        with open(descriptor, "wb", buffering=0) as file:
            file.write(code.encode("utf-8", "surrogatepass"))
    module = new_main_module(path)
    status = 0
    try:
        exec(compile(code, path, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as error:
        status = exit_status(error)
    except BaseException as error:
        report_exception(error)
        status = 1
        if isinstance(error, KeyboardInterrupt):
            status = 130
    finish(status)


def exit_status(error: SystemExit) -> int:
    """The status that the interpreter would exit with; prints a message as it would."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    try:
        print(error.code, file=sys.stderr)
    except Exception:
        return 1
    return 1


def report_exception(error: BaseException) -> None:
    """The program's own hook, else the usual traceback without this file's frame."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    try:
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, frames)
        else:
            sys.stdout.flush()
            sys.stderr.write("".join(traceback.format_exception(type(error), error, frames)))
    except BaseException:
        os.write(2, f"{type(error).__name__}\n".encode())


def finish(status: int) -> None:
    """Wait for threads, run atexit functions, flush, exit: what the interpreter does, without its teardown."""
    if _thread._count() or threading._threading_atexits:  # type: ignore[attr-defined]
        try:
            threading._shutdown()  # type: ignore[attr-defined]
        except BaseException:
            status = status or 1
    try:
        atexit._run_exitfuncs()
    except BaseException:
        status = status or 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            status = 120
    os._exit(status)


def run_bash(code: str) -> None:
    """As `bash main.sh` would."""
    with open("main.sh", "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(code)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve("/bin/bash", ["bash", "main.sh"], os.environ)


def run_pytest(code: str) -> None:
    """As `pytest -q test_main.py` would."""
    import pytest

    name = "test_main.py"
    with open(name, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(code)
    sys.argv = ["pytest", name]
    try:
        status = int(pytest.main(["-p", "no:cacheprovider", name]))
    except SystemExit as error:
        status = exit_status(error)
    finish(status)


def fetch(paths: list[str], limit: int) -> None:
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


def prepare_streams() -> None:
    """Standard streams of a program, made ahead: they follow whatever descriptors 0, 1 and 2 become."""
    # ruff: noqa: SIM115 - they live as long as the process
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = open(  # type: ignore[misc]
        2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1
    )


def address_space_in_use() -> int:
    """Bytes of address space this process already has, which a program's limit comes on top of."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 512 << 20


def settle() -> None:
    """Make what is loaded by now cheap to share: no collection ever touches it."""
    gc.collect()
    gc.freeze()

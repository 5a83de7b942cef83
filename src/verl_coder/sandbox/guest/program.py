"""What happens in a program's own process: take the request, take its place, run."""

import atexit
import builtins
import gc
import linecache
import marshal
import os
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


def receive_request(control_fd: int) -> tuple[dict[str, Any], list[int]] | None:
    """Wait for the one request of this process; None when the server is gone."""
    control = socket.socket(fileno=control_fd)
    message, descriptors, _, _ = socket.recv_fds(control, _MAX_MESSAGE, 8)
    control.close()
    if not message:
        return None
    if message[:1] == b"F":
        # Too long for one datagram: the last descriptor is a memory file.
        memory = descriptors.pop()
        size = os.fstat(memory).st_size
        message = b"F" + os.pread(memory, size, 0)
        os.close(memory)
    return marshal.loads(message[1:]), list(descriptors)


def take_place(spec: dict[str, Any], descriptors: list[int]) -> int | None:
    """Install stdin, stdout, stderr, limits and files; the descriptor of the peer or channel, if any."""
    for target, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, target)
    extra = None
    if len(descriptors) > 3:
        extra = os.dup2(descriptors[3], 3)
        os.set_inheritable(extra, True)
    os.closerange(4 if extra is not None else 3, 512)
    limits.apply_request_limits(address_space=spec["address_space"], cpu_s=spec["cpu_s"])
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        # Unlike `random`, its global state is not seeded anew by a fork.
        numpy_random.seed()
    for path, content in spec["files"].items():
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    return extra


def run(spec: dict[str, Any], extra: int | None) -> None:
    """Run the request; never returns."""
    operation = spec["op"]
    if extra is not None and operation in ("python", "bash", "pytest"):
        os.environ["PEER_FD"] = str(extra)
    if operation == "python":
        run_python(spec["code"])
    elif operation == "bash":
        run_bash(spec["code"])
    elif operation == "pytest":
        run_pytest(spec["code"])
    elif operation == "fetch":
        fetch(spec["paths"], spec["limit"])
    elif operation == "session":
        from verl_coder.sandbox.guest import session

        assert extra is not None
        session.serve(extra, spec)
    os._exit(1)


def new_main_module(path: str) -> types.ModuleType:
    """A fresh `__main__`, as the interpreter would make it."""
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    module.__dict__["__file__"] = path
    sys.modules["__main__"] = module
    return module


def run_python(code: str) -> None:
    """As `python main.py` would."""
    path = os.path.join(os.getcwd(), "main.py")
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(code)
    linecache.cache[path] = (len(code), None, [line + "\n" for line in code.split("\n")], path)
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

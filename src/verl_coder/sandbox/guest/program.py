"""Running a program in its own process as the interpreter would: its `__main__`, its streams, its end."""

import _thread
import atexit
import builtins
import gc
import os
import resource
import signal
import sys
import threading
import traceback
import types


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

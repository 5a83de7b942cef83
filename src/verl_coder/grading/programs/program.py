"""Whole programs (style `stdio`).

First all tests run one after the other in one process (`serve_together`), each in a fresh `__main__` with its own
standard streams: no fork. Whatever does not pass there runs again as a fresh child, whose standard output the judge
reads directly (`ProgramRunner`), since a program may have left something behind for the next one.
"""

import atexit
import contextlib
import io
import os
import select
import socket
import sys
import threading
import traceback
import types
from typing import Any

from verl_coder.grading.programs.frames import receive_frame, send_frame


def serve_together(control: socket.socket, job: dict[str, Any]) -> None:
    """Run the program on each input and send what it printed, up to the cap of each, and its exit status."""
    code = _compile(control, job)
    if code is None:
        return
    message = receive_frame(control)
    own_pid = os.getpid()
    for text, cap in zip(message["inputs"], message["caps"], strict=True):
        streams = (_input_file(text), _memory_file("stdout"), _memory_file("stderr"))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        status = _run_program(code)
        if os.getpid() != own_pid:
            os._exit(0)
        printed = os.pread(streams[1], cap + 1, 0).decode("utf-8", "replace")
        for stream in streams:
            os.close(stream)
        send_frame(control, {"out": printed, "ended": status})


class ProgramRunner:
    """Compiles the solution once (which runs nothing of it) and forks one child a test."""

    def __init__(self, control: socket.socket, job: dict[str, Any]) -> None:
        self.control = control
        self.code = _compile(control, job)

    def run(self, message: dict[str, Any]) -> None:
        """Start one child; the judge gets its stdout, then, when it has ended, its exit status."""
        ours, theirs = socket.socketpair()
        errors_read, errors_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                with contextlib.suppress(OSError):
                    os.setsid()
                os.dup2(_input_file(message["stdin"]), 0)
                os.dup2(ours.fileno(), 1)
                os.dup2(errors_write, 2)
                self.control.close()
                os.closerange(3, 64)
                status = _run_program(self.code)
            except BaseException:
                status = 1
            os._exit(status)
        os.close(errors_write)
        ours.close()
        socket.send_fds(self.control, [b"o"], [theirs.fileno()])
        theirs.close()
        self._wait(pid, errors_read)

    def _wait(self, pid: int, errors: int) -> None:
        """Until the child ends or the judge says stop (a pidfd, since the output may be closed early or never)."""
        tail = b""
        pidfd = os.pidfd_open(pid)
        watched = [pidfd, errors, self.control.fileno()]
        try:
            while True:
                ready, _, _ = select.select(watched, [], [])
                if errors in ready:
                    chunk = os.read(errors, 65536)
                    tail = (tail + chunk)[-4000:]
                    if not chunk:
                        watched.remove(errors)
                if self.control.fileno() in ready:
                    receive_frame(self.control)
                    break
                if pidfd in ready:
                    break
            with contextlib.suppress(OSError):
                os.killpg(pid, 9)
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
            _, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
        finally:
            for number in (pidfd, errors):
                os.close(number)
        send_frame(self.control, {"ended": code, "stderr": tail.decode("utf-8", "replace")})


def _compile(control: socket.socket, job: dict[str, Any]) -> Any:
    """The program's code, after word to the judge; None where it does not parse."""
    try:
        code = compile(job["code"], "<solution>", "exec", dont_inherit=True)
    except BaseException as error:
        send_frame(control, {"x": [["SyntaxError"], f"{type(error).__name__}: {error}"[:500], 0]})
        return None
    send_frame(control, {"r": None})
    return code


def _input_file(text: str) -> int:
    """A descriptor at the start of `text`, in memory where the system allows, else in an unlinked file."""
    data = text.encode("utf-8", "surrogateescape")
    number = _memory_file("stdin")
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _memory_file(name: str) -> int:
    try:
        return os.memfd_create(name)
    except (OSError, AttributeError):
        path = f"{name}.{os.getpid()}"
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.unlink(path)
        return number


def _run_program(code: Any) -> int:
    """Run the program as `__main__` with fresh standard streams; its exit status."""
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False), 65536), encoding="utf-8"
    )
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8", write_through=True)
    sys.argv = ["solution.py"]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    status = 0
    try:
        exec(code, module.__dict__)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    return status & 0xFF

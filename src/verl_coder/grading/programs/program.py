"""Whole programs (style `stdio`) one after the other in one process: no fork, and each finds a fresh `__main__`.

What ends badly here, or comes after a program that used the process up or leaves state in it, runs as a plain
program of its own (`grading/alone.py`).
"""

import _thread
import builtins
import gc
import operator
import os
import socket
import sys
import threading
from typing import Any

from verl_coder.grading.programs.frames import receive_frame, send_frame
from verl_coder.grading.programs.kept_state import ProcessState, leaves_state, parsed
from verl_coder.sandbox.guest.program import has_children, nameless_file, open_streams, run_main, wind_up

_MANY = 1 << 16
"""Bytes that few programs print."""


def serve_together(control: socket.socket, job: dict[str, Any]) -> None:
    """Run the program on each input and send what it printed, up to the cap of each, and its exit status."""
    path = os.path.abspath(sys.argv[0])
    source = job["code"].encode("utf-8", "surrogatepass")
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except BaseException as error:
        send_frame(control, {"x": [["SyntaxError"], f"{type(error).__name__}: {error}"[:500], 0]})
        return
    send_frame(control, {"r": None})
    with open(path, "wb") as file:
        file.write(source)
    cap = receive_frame(control)["cap"]
    waiting: list[str] = []
    own_pid = os.getpid()
    # What was here before the first program is no garbage of its.
    gc.freeze()
    names, as_they_were = vars(builtins), dict(vars(builtins))
    process, once = ProcessState(source), leaves_state(parsed(source))
    while (text := _next_input(control, waiting)) is not None:
        if len(names) != len(as_they_were) or not all(
            map(operator.is_, names.values(), as_they_were.values())
        ):
            names.clear()
            names.update(as_they_were)
        process.restore()
        streams = (_input_file(text), nameless_file("stdout"), nameless_file("stderr"))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        open_streams()
        sys.argv = [path]
        status = run_main(code, path)
        # The ends of threads and of executors come once in the life of a process.
        used_up = bool(_thread._count() or threading._threading_atexits)  # type: ignore[attr-defined]
        status = wind_up(status, threads=used_up)
        if os.getpid() != own_pid:
            os._exit(status & 0xFF)
        if has_children():
            # They would run on while other tests are on the clock.
            return
        printed = _content(streams[1], cap + 1).decode("utf-8", "replace")
        for stream in streams:
            os.close(stream)
        send_frame(control, {"out": printed, "ended": status})
        if used_up or once or _thread._count() or process.has_new_files():
            return


def _next_input(control: socket.socket, waiting: list[str]) -> str | None:
    """The first of `waiting`, which the next frame fills; None at the end."""
    if not waiting:
        try:
            waiting.extend(receive_frame(control)["inputs"])
        except (EOFError, OSError):
            return None
    return waiting.pop(0)


def _content(number: int, most: int) -> bytes:
    """The first `most` bytes; a buffer for all of them costs more than most programs."""
    data = os.pread(number, min(most, _MANY), 0)
    return os.pread(number, most, 0) if len(data) == _MANY else data


def _input_file(text: str) -> int:
    """A descriptor at the start of `text`."""
    number = nameless_file("stdin")
    view = memoryview(text.encode())
    while view:
        view = view[os.write(number, view) :]
    os.lseek(number, 0, os.SEEK_SET)
    return number

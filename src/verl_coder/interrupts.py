"""Ctrl-C while modules are imported: an import shows a traceback of its own, or takes the interrupt and goes on."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STATUS = 130
"""Of a command that Ctrl-C has ended."""


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """In the block Ctrl-C is one line; within an import it ends the process at once, else it is KeyboardInterrupt.

    Where SIGINT has another meaning already, it keeps it.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not is_ours:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"stopped by SIGINT\n")
    if _is_importing(frame):
        os._exit(STATUS)
    signal.default_int_handler(number, frame)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False

"""The JSON messages between the server and a long-lived program, and how exceptions and long texts look in them."""

import json
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Any

from verl_coder.sandbox.guest.shown import TRACEBACK_FRAMES

_MAX_REPLY = 4 << 20
_OWN_FOLDER = os.path.dirname(__file__)


class Channel:
    """Commands in, one reply for each; SIGINT ends the command in progress and nothing else."""

    def __init__(self, descriptor: int) -> None:
        # Not for processes that the program starts.
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._buffer = b""
        self._in_command: Any = bytearray(1)
        self.busy = False
        self.adopt()

    def adopt(self) -> None:
        """This process answers from now on: forks of it do not."""
        self._pid = os.getpid()
        signal.signal(signal.SIGINT, self.on_interrupt)

    def watch(self, in_command: Any) -> None:
        """Keep a byte that is 1 between a command and its reply, for instance in memory that forks share."""
        self._in_command = in_command

    def on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """SIGINT comes from the server, when a command is over its time."""
        if self.busy:
            raise KeyboardInterrupt

    def next_command(self) -> dict[str, Any] | None:
        """Wait for a command; None when the server is gone."""
        while b"\n" not in self._buffer:
            data = os.read(self._descriptor, 1 << 16)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        # A program may have installed a handler of its own.
        signal.signal(signal.SIGINT, self.on_interrupt)
        self._in_command[0] = 1
        return json.loads(line)

    def reply(self, value: dict[str, Any], shorter: dict[str, Any] | None = None) -> None:
        """Flush the program's output, then answer, `shorter` where it is too long; a fork of the program ends here."""
        self.busy = False
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                continue
        if os.getpid() != self._pid:
            os._exit(0)
        message = json.dumps(value).encode()
        if len(message) > _MAX_REPLY:
            error = {"ename": "TooLong", "evalue": "the answer is too long"}
            message = json.dumps({**(shorter or {}), "error": error}).encode()
        self._in_command[0] = 0
        view = memoryview(message + b"\n")
        while view:
            view = view[os.write(self._descriptor, view) :]


def short(text: str, limit: int) -> str:
    """Cut in the middle, with a mark."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} ... [{len(text) - 2 * half} characters cut] ... {text[-half:]}"


def describe_exception(error: BaseException, first_file: str | None) -> dict[str, Any]:
    """Name, value and a short traceback that begins in the user's code."""
    frames = error.__traceback__
    while frames is not None and first_file is not None and frames.tb_frame.f_code.co_filename != first_file:
        frames = frames.tb_next
    try:
        summary = traceback.TracebackException(type(error), error, frames, limit=-TRACEBACK_FRAMES)
        ours = [frame for frame in summary.stack if frame.filename.startswith(_OWN_FOLDER)]
        for frame in ours:
            summary.stack.remove(frame)
        lines = list(summary.format())
        value = str(error)
    except BaseException as second:
        lines, value = [f"{type(error).__name__}\n"], f"<str failed: {type(second).__name__}>"
    return {
        "ename": type(error).__name__,
        "evalue": short(value, 2000),
        "traceback": [short(line, 4000) for line in lines],
    }

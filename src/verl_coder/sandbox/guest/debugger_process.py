"""Each run of a debugged program in a process of its own, so that nothing it does outlives a restart.

A program can swallow an exception that should end it, change modules, or leave by `os._exit`. So the session's first
process only waits; it forks one that holds the program and serves the commands, and another one when the program is to
start anew, when it is another program, or when it is gone.
"""

import json
import mmap
import os
import signal
from types import FrameType
from typing import Any, NoReturn

from verl_coder.sandbox.guest.channel import Channel
from verl_coder.sandbox.guest.debugger import Debugger
from verl_coder.sandbox.guest.program import nameless_file


def serve_debugger(channel: Channel, code: str) -> None:
    """Serve a debugger session until the channel closes."""
    in_command = mmap.mmap(-1, 1)
    channel.watch(in_command)
    debugger = Debugger(channel, code)
    command: dict[str, Any] | None = None
    while True:
        note = nameless_file("handover")
        pid = os.fork()
        if pid == 0:
            channel.adopt()
            debugger.serve(command, _Successor(note))
        _forward_interrupts(pid)
        _, status = os.waitpid(pid, 0)
        left = os.pread(note, os.fstat(note).st_size, 0)
        os.close(note)
        command = None
        try:
            given = json.loads(left) if left else None
        except ValueError:
            given = None
        if given is None:
            debugger.program_left(os.waitstatus_to_exitcode(status))
            if in_command[0]:
                debugger.reply()
        elif given.get("closed"):
            return
        else:
            debugger.take_over(given["code"], given["points"])
            command = given["command"]


class _Successor:
    """Ends a program's process; what the next one must know stands in a file."""

    def __init__(self, note: int) -> None:
        self._note = note

    def __call__(self, **known: Any) -> NoReturn:
        view = memoryview(json.dumps(known).encode())
        while view:
            view = view[os.write(self._note, view) :]
        os._exit(0)


def _forward_interrupts(pid: int) -> None:
    """The server interrupts the session's first process."""

    def forward(number: int, frame: FrameType | None) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return

    signal.signal(signal.SIGINT, forward)

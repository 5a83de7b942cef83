"""Each run of a debugged program in a process of its own, so that nothing it does outlives a restart.

A program can swallow an exception that should end it, change modules, or leave by `os._exit`. So the session's first
process only waits; it forks one that holds the program and serves the commands, and another one when the program is to
start anew, when it is another program, or when it is gone.
"""

import mmap
import os
import signal
from types import FrameType
from typing import Any

from verl_coder.sandbox.guest.channel import Channel
from verl_coder.sandbox.guest.debugger import Debugger
from verl_coder.sandbox.guest.note import Note, read_note
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
            debugger.serve(command, Note(note))
        _forward_interrupts(pid)
        _, status = os.waitpid(pid, 0)
        known = read_note(note)
        os.close(note)
        command = known.get("command")
        if known.get("closed"):
            return
        if "code" in known:
            debugger.take_over(known)
        if command is None:
            debugger.program_left(os.waitstatus_to_exitcode(status))
            if in_command[0]:
                debugger.reply()


def _forward_interrupts(pid: int) -> None:
    """The server interrupts the session's first process."""

    def forward(number: int, frame: FrameType | None) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return

    signal.signal(signal.SIGINT, forward)

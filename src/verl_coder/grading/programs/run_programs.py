"""Style `stdio` in the judge: inputs go out, what the programs print comes back and is compared here."""

import select
import socket
from typing import Any

from verl_coder.grading.programs.compare import same_text
from verl_coder.grading.programs.failures import CandidateLost, TestTimedOut, time_limit
from verl_coder.grading.programs.frames import WireError, receive_frame, send_frame
from verl_coder.grading.programs.record import Record, show
from verl_coder.grading.programs.remote import CandidateChannel, take_socket


def run_programs(record: Record, candidate: CandidateChannel) -> None:
    """All programs together first; what did not pass there, each in a process of its own."""
    control = candidate.control
    try:
        with time_limit(record.spec.load_timeout_s):
            reply = receive_frame(control)
        if "x" in reply:
            record.fail_load("e", str(reply["x"][1])[:500])
        if candidate.direct:
            _run_together(record, control)
            return
        for item in record.spec.items:
            if record.skip_settled():
                continue
            if record.is_over:
                return
            _run_program(record, control, item)
    except (EOFError, OSError, CandidateLost, WireError, TestTimedOut):
        record.fail_load("e", "the solution's harness ended")


def _run_together(record: Record, control: socket.socket) -> None:
    """All programs in one process: a pass counts; anything else is open, and a fresh process will tell."""
    items, timeout_s = record.spec.items, record.spec.timeout_s
    caps = [_output_cap(item) for item in items]
    send_frame(control, {"inputs": [item["stdin"] for item in items], "caps": caps})
    for index, item in enumerate(items):
        try:
            with time_limit(record.limit_s):
                reply = receive_frame(control)
                got, ended = str(reply.get("out")), reply.get("ended")
                passed = ended == 0 and same_text(got, item["expected"])
        except TestTimedOut:
            if index == 0:
                record.add("t", item["stdin"], f"did not end within {timeout_s:g} s")
            break
        except (EOFError, OSError, WireError, AttributeError):
            break
        if passed:
            record.add("p")
            continue
        record.leave_open("f" if ended == 0 else "e")
        if record.spec.stop_early:
            break
    while len(record.status) < len(items):
        record.leave_open()


def _run_program(record: Record, control: socket.socket, item: dict[str, Any]) -> None:
    """One run: its stdout is read here as it comes, never more than a passing answer could need."""
    expected, cap = item["expected"], _output_cap(item)
    send_frame(control, {"op": "program", "stdin": item["stdin"]})
    chunks: list[bytes] = []
    size, timed_out = 0, False
    try:
        with time_limit(record.limit_s):
            output = take_socket(control)
            control.setblocking(True)
            size = _drain(output, control, chunks, cap)
    except TestTimedOut:
        timed_out = True
    if timed_out or size > cap:
        send_frame(control, {"op": "stop"})
    with time_limit(5):
        ended = receive_frame(control)
    output.close()
    got = b"".join(chunks).decode("utf-8", "replace")
    if timed_out:
        letter, message = "t", f"did not end within {record.spec.timeout_s:g} s"
    elif size > cap:
        letter, message = "f", f"printed more than {cap} bytes"
    elif ended.get("ended") != 0:
        words = str(ended.get("stderr", ""))[-500:].strip()
        letter, message = "e", f"exit status {ended.get('ended')}: {words}"
    else:
        letter, message = "p" if same_text(got, expected) else "f", ""
    record.add(letter, item["stdin"], message, show(expected), show(got))


def _output_cap(item: dict[str, Any]) -> int:
    """Bytes, more than a passing answer could need."""
    return 4 * len(item["expected"].encode()) + (1 << 16)


def _drain(output: socket.socket, control: socket.socket, chunks: list[bytes], cap: int) -> int:
    """Read until the program ended (its harness says so) or closed its output, or printed more than `cap`."""
    size = 0
    sources = [output, control]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if output in ready:
            chunk = output.recv(1 << 16)
            if not chunk:
                return size
            chunks.append(chunk)
            size += len(chunk)
            if size > cap:
                return size
        elif control in ready:
            return size

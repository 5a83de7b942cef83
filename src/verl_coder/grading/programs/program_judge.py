"""Style `stdio` in the judge: inputs go out, what the programs print comes back and is compared here."""

import select
import socket
from typing import TYPE_CHECKING, Any

from verl_coder.grading.programs.compare import same_text
from verl_coder.grading.programs.failures import CandidateLost, TestTimedOut, time_limit
from verl_coder.grading.programs.frames import WireError, receive_frame, send_frame
from verl_coder.grading.programs.remote import take_socket
from verl_coder.grading.programs.show import show

if TYPE_CHECKING:
    from verl_coder.grading.programs.judge import Judge

OPEN = "?"
"""Letter of a test that a later request is to settle."""


def run_programs(judge: "Judge") -> None:
    """All programs together first; what did not pass there, each in a process of its own."""
    try:
        with time_limit(judge.spec["load_timeout_s"]):
            reply = receive_frame(judge.control)
        if "x" in reply:
            judge.load_error = {"status": "e", "message": str(reply["x"][1])[:500]}
            return
        if judge.spec["direct"]:
            _run_together(judge, judge.spec["items"])
            return
        for item in judge.spec["items"]:
            if judge._skipped() or _settled(judge):
                continue
            if judge.timeouts >= judge.spec["max_timeouts"] or judge._left() <= 0:
                return
            _run_program(judge, item)
    except (EOFError, OSError, CandidateLost, WireError, TestTimedOut):
        judge.load_error = {"status": "e", "message": "the solution's harness ended"}


def _settled(judge: "Judge") -> bool:
    """Two failures of the shared run that a fresh process confirmed, and none that it refuted: believe it."""
    letter = judge.provisional.get(str(len(judge.status)))
    if letter is None or judge.confirmed < 2:
        return False
    judge.status.append(letter)
    return True


def _run_together(judge: "Judge", items: list[dict[str, Any]]) -> None:
    """All programs in one process: a pass counts; anything else is open, and a fresh process will tell."""
    caps = [_output_cap(item) for item in items]
    send_frame(judge.control, {"inputs": [item["stdin"] for item in items], "caps": caps})
    for index, item in enumerate(items):
        try:
            with time_limit(min(judge.spec["timeout_s"], judge._left())):
                reply = receive_frame(judge.control)
                got, ended = str(reply.get("out")), reply.get("ended")
                passed = ended == 0 and same_text(got, item["expected"])
        except TestTimedOut:
            if index == 0:
                judge.timeouts += 1
                judge._record("t", item, f"did not end within {judge.spec['timeout_s']:g} s")
            break
        except (EOFError, OSError, WireError, AttributeError):
            break
        if passed:
            judge._record("p", item)
            continue
        judge.status.append(OPEN)
        judge.provisional[str(index)] = "f" if ended == 0 else "e"
        if judge.spec["stop_early"]:
            break
    judge.status.extend(OPEN * (len(items) - len(judge.status)))
    judge.resume = OPEN in judge.status


def _run_program(judge: "Judge", item: dict[str, Any]) -> None:
    """One run: its stdout is read here as it comes, never more than a passing answer could need."""
    expected = item["expected"]
    cap = _output_cap(item)
    send_frame(judge.control, {"op": "program", "stdin": item["stdin"]})
    chunks: list[bytes] = []
    size, note = 0, ""
    try:
        with time_limit(min(judge.spec["timeout_s"], judge._left())):
            output = take_socket(judge.control)
            judge.control.setblocking(True)
            size = _drain(output, judge.control, chunks, cap)
    except TestTimedOut:
        note = "t"
    if note or size > cap:
        send_frame(judge.control, {"op": "stop"})
    with time_limit(5):
        ended = receive_frame(judge.control)
    output.close()
    index = len(judge.status)
    got = b"".join(chunks).decode("utf-8", "replace")
    if note:
        judge.timeouts += 1
        judge._record(
            "t", item, f"did not end within {judge.spec['timeout_s']:g} s", show(expected), show(got)
        )
    elif size > cap:
        judge._record("f", item, f"printed more than {cap} bytes", show(expected), show(got))
    elif ended.get("ended") != 0:
        message = f"exit status {ended.get('ended')}: {str(ended.get('stderr', ''))[-500:].strip()}"
        judge._record("e", item, message, show(expected), show(got))
    elif same_text(got, expected):
        judge.confirmed -= 1000 * (str(index) in judge.provisional)
        judge._record("p", item)
    else:
        judge._record("f", item, expected=show(expected), got=show(got))
    judge.confirmed += judge.provisional.get(str(index)) == judge.status[index]


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

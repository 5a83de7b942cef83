"""Style `stdio` in the judge: inputs go out, what the programs print comes back and is compared here."""

import socket
from collections.abc import Sequence
from typing import Any

from verl_coder.grading.programs.ahead import sent_together
from verl_coder.grading.programs.compare import same_text
from verl_coder.grading.programs.failures import CandidateLost, TestTimedOut, TimeLimit
from verl_coder.grading.programs.frames import WireError, receive_frame, send_frame
from verl_coder.grading.programs.record import GradingRecord, show
from verl_coder.grading.programs.remote import CandidateChannel

_LONG_INPUTS = 1 << 18
"""Characters that a process receives in no time."""


def run_programs(record: GradingRecord, candidate: CandidateChannel) -> None:
    """All programs together in one process; what did not pass there is left to plain runs."""
    try:
        with TimeLimit(record.spec.load_timeout_s):
            reply = receive_frame(candidate.control)
        if "x" in reply:
            record.fail_load("e", str(reply["x"][1])[:500])
        _run_together(record, candidate.control)
    except (EOFError, OSError, CandidateLost, WireError, TestTimedOut):
        record.fail_load("e", "the solution's harness ended")


def _run_together(record: GradingRecord, control: socket.socket) -> None:
    """A pass counts, and so does another output; what ended badly or lacks the end is open: a fresh process will tell.

    So a program that makes out where it runs has one answer to give: here, or nothing here and all of it there.
    """
    items, timeout_s = record.spec.items, record.spec.timeout_s
    cap = output_cap(items)
    send_frame(control, {"cap": cap})
    questions, answers = ([" ".join(item[part].split()) for item in items] for part in ("stdin", "expected"))
    sent, inputs = 0, list[str]()
    for index, item in enumerate(items):
        try:
            if index == sent:
                sent += sent_together(questions, answers, sent)
                inputs = [item["stdin"] for item in items[index:sent]]
                # What the judge does itself is not on the program's clock.
                with TimeLimit(record.limit_s):
                    send_frame(control, {"inputs": inputs})
            with TimeLimit(record.limit_s):
                reply = receive_frame(control)
            got, ended = str(reply.get("out")), reply.get("ended")
        except TestTimedOut:
            # Nothing ran before the first one, but what is long is read on its clock, too.
            if index == 0 and sum(map(len, inputs)) < _LONG_INPUTS:
                record.add("t", item["stdin"], f"did not end within {timeout_s:g} s")
            break
        except (EOFError, OSError, WireError, AttributeError):
            break
        long = too_long(got, cap)
        if ended == 0 and not long and same_text(got, item["expected"]):
            record.add("p")
            continue
        if long:
            record.add("f", item["stdin"], long, show(item["expected"]), show(got))
            continue
        # A process that goes on holds back what one that ends would print last: it may lack the end, no more.
        if ended == 0 and not item["expected"].startswith(got.rstrip()):
            record.add("f", item["stdin"], "", show(item["expected"]), show(got))
            continue
        record.leave_open("f" if ended == 0 else "e")
        if record.spec.stop_early:
            break
    while len(record.status) < len(items):
        record.leave_open()


def output_cap(items: Sequence[dict[str, Any]]) -> int:
    """More bytes than a passing answer could need, and the same for all: it must not tell how long an answer is."""
    longest = max(len(item["expected"]) for item in items)
    return 1 << max(20, (4 * longest).bit_length() + 1)


def too_long(printed: str, cap: int) -> str:
    """Words for an output that was cut: the rest could be anything. Empty for another."""
    is_long = len(printed) > cap // 4 and len(printed.encode("utf-8", "replace")) > cap
    return f"printed more than {cap} bytes" if is_long else ""

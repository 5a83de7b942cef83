"""Chosen attempts with their calls, as the rows of a file of traces."""

import random
from collections.abc import Sequence

import pyarrow as pa

from verl_coder.errors import DataError
from verl_coder.grading import answer_code
from verl_coder.problems import Message
from verl_coder.protocols import appended_tags
from verl_coder.teacher.calls import ToolTurn
from verl_coder.teacher.choice import Sketch
from verl_coder.teacher.conversation import decoded_response, failure_name, write_messages
from verl_coder.teacher.repair_report import RepairOptions, RepairReport
from verl_coder.teacher.samples import quotable
from verl_coder.teacher.trace_file import set_aside, write_traces
from verl_coder.teacher.trace_tools import FEEDBACK_AGENT_NAME, PLAIN_AGENT_NAME

SOURCE = "repairs"
ChosenTrace = tuple[Sketch, list[ToolTurn] | None]
"""With its calls; None where a session answers otherwise than the attempts did by themselves."""
_COLUMNS = (
    ("agent_name", pa.string()),
    ("attempts", pa.int64()),
    ("failures", pa.list_(pa.string())),
    ("last_code", pa.string()),
)


def write_rows(played: Sequence[ChosenTrace], report: RepairReport, options: RepairOptions) -> None:
    """Write the file and count what is in it; DataError, and no file, where there is no trace at all."""
    traces = []
    for sketch, calls in played:
        rng = random.Random(f"words/{options.seed}/{sketch.problem.problem_id}/{sketch.attempts[0].code}")
        if calls is None:
            report.dropped["in a session an attempt comes to something else"] += 1
            continue
        messages = write_messages(sketch, calls, rng, learn_failures=options.learn_failures)
        if reason := reason_to_drop(sketch, messages):
            report.dropped[reason] += 1
        else:
            report.debugged += any(call.seen for call in calls)
            traces.append((sketch, messages))
    if not traces:
        why = report.skipped + report.dropped
        reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common())
        raise DataError(
            f"{options.problems}: no trace could be made ({reasons}); {options.out} is not written"
            f"{set_aside(options.out)}"
        )
    write_traces([_row(*trace, report) for trace in traces], options.out, further=_COLUMNS)
    report.traces = len(traces)
    report.problems_with_traces = len({sketch.problem.problem_id for sketch, _ in traces})


def reason_to_drop(sketch: Sketch, messages: Sequence[Message]) -> str:
    """Why a conversation is no trace; empty where it is one.

    Its last code has passed the grader: what remains is that a rollout of these turns is graded by that code.
    """
    tags = appended_tags(sketch.problem.agent_name)
    told = [message["content"] for message in messages if message["role"] == "tool"]
    if sketch.problem.agent_name == FEEDBACK_AGENT_NAME and not sketch.direct:
        told = [attempt.told for attempt in sketch.attempts]
    if not all(quotable(text) for text in told):
        return "an output holds marks of a conversation"
    response = decoded_response(messages, tags)
    answer = answer_code(response, sketch.problem.tests)
    if answer is None or answer.strip("\n").rstrip() != sketch.attempts[-1].code:
        return "the grader finds another code in it"
    return ""


def _row(sketch: Sketch, messages: Sequence[Message], report: RepairReport) -> dict[str, object]:
    """A row of the file, counted in the report."""
    calls = 0 if sketch.direct else len(sketch.attempts)
    failures = [failure_name(attempt) for attempt in sketch.attempts[:-1]]
    origin = sketch.attempts[-1].origin
    report.by_attempts[calls] += 1
    report.plain += sketch.plain
    report.by_last_code[origin] += 1
    report.failures.update(failures)
    if failures:
        report.mended_by[origin] += 1
    return {
        "problem_id": sketch.problem.problem_id,
        "messages": list(messages),
        "source": SOURCE,
        "agent_name": PLAIN_AGENT_NAME if sketch.plain else sketch.problem.agent_name,
        "attempts": calls,
        "failures": failures,
        "last_code": origin,
    }

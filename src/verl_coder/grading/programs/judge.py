"""The judge's side: the tests, the expected values and the verdict. Nothing of the solution ever runs here."""

import contextlib
import socket
import sys
from typing import Any

from verl_coder.grading.programs.alarms import part_alarms
from verl_coder.grading.programs.audit import tell_refusals
from verl_coder.grading.programs.failures import TestTimedOut, TimeLimit
from verl_coder.grading.programs.frames import HELLO
from verl_coder.grading.programs.libraries import find_library
from verl_coder.grading.programs.record import GradingRecord, Stop
from verl_coder.grading.programs.remote import CandidateChannel
from verl_coder.grading.programs.run_calls import run_calls
from verl_coder.grading.programs.run_module import run_module
from verl_coder.grading.programs.run_programs import run_programs
from verl_coder.grading.programs.spec import Spec

_RUNNERS = {"calls": run_calls, "module": run_module, "program": run_programs}


_START_S = 10.0
"""For the candidate's process to begin, however short the limits of what it runs are."""


def judge(control: socket.socket, spec: Spec) -> dict[str, Any]:
    """The report of one solution, whose harness is at the other end of `control`."""
    if spec.with_numpy or "numpy" in sys.modules:
        with contextlib.suppress(ImportError):
            find_library("numpy")
    part_alarms()
    record = GradingRecord(spec)
    candidate = CandidateChannel(
        control, direct=spec.direct, live=spec.live, used_as_classes=spec.used_as_classes
    )
    tell_refusals(candidate.refused)
    with contextlib.suppress(Stop):
        if not _harness_answers(control, max(spec.load_timeout_s, _START_S)):
            record.fail_sandbox("the candidate's process did not start")
        _RUNNERS[spec.style](record, candidate)
    return record.report(candidate.unsplittable)


def _harness_answers(control: socket.socket, timeout_s: float) -> bool:
    """Nothing of the solution has run yet: silence here is the sandbox's failure."""
    with contextlib.suppress(OSError, TestTimedOut), TimeLimit(timeout_s):
        return control.recv(1) == HELLO
    return False

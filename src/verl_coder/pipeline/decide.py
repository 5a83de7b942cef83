"""Whether a task is to be run, and why, in one line."""

from dataclasses import dataclass, replace
from pathlib import Path

from verl_coder.pipeline.fingerprint import Digests, missing
from verl_coder.pipeline.records import Fingerprint, TaskRecord, damage, fingerprint_of, read_record
from verl_coder.pipeline.tasks import PipelineTask, Workplace


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is done about a task."""

    run: bool
    why: str
    anew: bool = False
    """Whether what an older start left is set aside first."""
    fingerprint: Fingerprint
    record: TaskRecord | None


def decide(task: PipelineTask, place: Workplace, digests: Digests, *, ignore_code: bool = False) -> Decision:
    """Compare what the task depends on, and what it has made, with its record."""
    now = fingerprint_of(task, digests)
    record = read_record(place.records, task.name)

    def decision(run: bool, why: str, anew: bool = False) -> Decision:
        return Decision(run=run, why=why, anew=anew, fingerprint=now, record=record)

    if record is None:
        return decision(True, "for the first time", anew=True)
    before = settled(record.fingerprint, now, task)
    difference = now.changes_since(before, ignore_code=ignore_code)
    if difference:
        return decision(True, difference, anew=True)
    if not record.finished:
        return decision(True, f"goes on: start {record.starts} did not end", anew=task.begins_again)
    lacks = "its record names no file" if task.products and not record.products else ""
    broken = lacks or damage(record, place.out, digests)
    if broken:
        return decision(True, broken, anew=True)
    return decision(False, "nothing has changed")


def settled(before: Fingerprint, now: Fingerprint, task: PipelineTask) -> Fingerprint:
    """`before` with the digests, as they are now, of inputs that were absent and the command makes itself."""
    made = {
        name: now.inputs[name]
        for name in task.may_be_absent
        if name in before.inputs and before.inputs[name] is None
    }
    return replace(before, inputs={**before.inputs, **made})


def absent_inputs(task: PipelineTask, fingerprint: Fingerprint) -> list[Path]:
    """Inputs that are not there, so that the task cannot begin."""
    return [
        task.inputs[name] for name in missing(fingerprint.inputs.items()) if name not in task.may_be_absent
    ]

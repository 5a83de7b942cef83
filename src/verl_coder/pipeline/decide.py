"""Whether a task is to be run, and why, in one line."""

from dataclasses import dataclass
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
        return decision(True, "not run yet", anew=True)
    difference = now.changes_since(record.fingerprint, ignore_code=ignore_code)
    if difference:
        return decision(True, difference, anew=True)
    if not record.finished:
        return decision(True, f"goes on: start {record.starts} did not end", anew=task.begins_again)
    broken = damage(record, place.out, digests)
    if broken:
        return decision(True, broken, anew=True)
    return decision(False, "nothing has changed")


def absent_inputs(task: PipelineTask, fingerprint: Fingerprint) -> list[Path]:
    """Inputs that are not there, so that the task cannot begin."""
    return [task.inputs[name] for name in missing(fingerprint.inputs.items())]

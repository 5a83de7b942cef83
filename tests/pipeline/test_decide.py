"""Whether a task is run again: by what its inputs are now, also those that its command makes itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pipeline.fake_pipeline import workplace

import verl_coder.pipeline.records as records
from verl_coder.pipeline.decide import Decision, absent_inputs, decide, settled
from verl_coder.pipeline.fingerprint import Digests
from verl_coder.pipeline.records import TaskRecord, fingerprint_of, write_record
from verl_coder.pipeline.tasks import PipelineTask


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PipelineTask:
    """One whose command makes its input where it is not there."""
    monkeypatch.setattr(records, "code_of", lambda *_: {})
    inputs = {"traces": tmp_path / "traces"}
    return PipelineTask(
        stage="train", name="t", command=("t",), products=(), inputs=inputs, may_be_absent=("traces",)
    )


def decided(task: PipelineTask, tmp_path: Path) -> Decision:
    return decide(task, workplace(tmp_path), Digests(tmp_path / "digests"))


def begun(task: PipelineTask, tmp_path: Path, **changes: Any) -> TaskRecord:
    """Its record, as it is at the start of its command."""
    record = TaskRecord(fingerprint=fingerprint_of(task, Digests(tmp_path / "digests")), **changes)
    write_record(workplace(tmp_path).records, "t", record)
    return record


def test_an_input_that_the_command_makes_does_not_stop_it(task: PipelineTask, tmp_path: Path) -> None:
    assert absent_inputs(task, decided(task, tmp_path).fingerprint) == []
    other = replace(task, may_be_absent=())
    assert absent_inputs(other, decided(other, tmp_path).fingerprint) == [tmp_path / "traces"]


def test_a_start_that_was_killed_behind_it_goes_on(task: PipelineTask, tmp_path: Path) -> None:
    begun(task, tmp_path)
    (tmp_path / "traces").write_text("made by the command")
    decision = decided(task, tmp_path)
    assert decision.why.startswith("goes on") and not decision.anew


def test_another_content_of_it_is_a_change(task: PipelineTask, tmp_path: Path) -> None:
    record = begun(task, tmp_path)
    (tmp_path / "traces").write_text("made by the command")
    now = decided(task, tmp_path).fingerprint
    record = replace(record, fingerprint=settled(record.fingerprint, now, task), finished=True)
    write_record(workplace(tmp_path).records, "t", record)
    assert not decided(task, tmp_path).run
    (tmp_path / "traces").write_text("another")
    assert decided(task, tmp_path).why == "inputs changed: traces"

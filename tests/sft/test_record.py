"""The same run goes on or has finished; another one in the same folder is told, and nothing of it is touched."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from verl_coder.errors import ConfigError
from verl_coder.run.checkpoint_files import TRACKER
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.best import best_step
from verl_coder.sft.record import begin, digests, is_finished, last_step
from verl_coder.sft.settings import SftRequest


@pytest.fixture
def request_(tmp_path: Path) -> SftRequest:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "model.safetensors").write_bytes(b"base")
    (tmp_path / "t.parquet").write_bytes(b"traces")
    (tmp_path / "out").mkdir()
    return SftRequest(
        model=str(tmp_path / "student"), traces=tmp_path / "t.parquet", out=tmp_path / "out", profile="cpu"
    )


def _finish(request: SftRequest, **more: Any) -> RunDir:
    run_dir = RunDir(request.out)
    (request.out / "model").mkdir(exist_ok=True)
    (request.out / "model" / "config.json").touch()
    run_dir.summary.write_text(json.dumps({"settings": request.as_json(), **more}))
    return run_dir


def _checkpoint(run_dir: RunDir, step: int) -> None:
    (run_dir.checkpoints / f"global_step_{step}").mkdir(parents=True)
    (run_dir.checkpoints / f"global_step_{step}" / "data.pt").touch()
    (run_dir.checkpoints / TRACKER).write_text(str(step))


def test_tools_are_the_file_that_is_used_wherever_the_command_is_given(
    request_: SftRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = replace(request_, tools="tool_config/python_interpreter.yaml")
    found = digests(shipped)
    assert found["--tools"] and "--tools" not in digests(replace(request_, tools="none"))
    run_dir = _finish(shipped, digests=found)
    (tmp_path / "tool_config").mkdir()
    (tmp_path / "tool_config" / "python_interpreter.yaml").write_text("tools: []\n")
    with pytest.raises(ConfigError, match="the content of --tools is another one"):
        is_finished(shipped, run_dir, digests(shipped))


def test_changed_files_are_another_run_and_a_summary_without_digests_is_accepted(
    request_: SftRequest,
) -> None:
    run_dir = _finish(request_)
    found = digests(request_)
    assert is_finished(request_, run_dir, found)
    _finish(request_, digests=found)
    assert is_finished(request_, run_dir, found)
    for path, option in (
        (request_.traces, "--traces"),
        (Path(request_.model) / "model.safetensors", "--model"),
    ):
        before = path.read_bytes()
        path.write_bytes(b"other")
        with pytest.raises(ConfigError, match=f"the content of {option} is another one"):
            is_finished(request_, run_dir, digests(request_))
        path.write_bytes(before)


def test_what_changes_nothing_that_is_learnt_may_change_on_the_way(request_: SftRequest) -> None:
    run_dir, found = RunDir(request_.out), digests(request_)
    assert begin(request_, run_dir, found) == 0
    _checkpoint(run_dir, 3)
    moved = request_.traces.with_name("moved.parquet")
    request_.traces.rename(moved)
    other = replace(request_, traces=moved, micro_tokens=9, keep="last", overrides=("trainer.save_freq=2",))
    assert last_step(other, run_dir, digests(other)) == 3
    for changed, words in (
        (replace(other, seed=1), "seed was 0, is 1"),
        (replace(other, profile="gpu"), "profile was cpu, is gpu"),
        (replace(other, overrides=("optim.weight_decay=0",)), "optim.weight_decay was None, is 0"),
    ):
        with pytest.raises(ConfigError, match=f"holds step 3 of a run with other settings .{words}"):
            begin(changed, run_dir, digests(changed))
    assert begin(other, run_dir, digests(other)) == 3


@pytest.mark.parametrize(
    ("saved", "why"), [(3, "later than the last checkpoint"), (0, "there is no checkpoint")]
)
def test_steps_that_are_done_again_are_told(request_: SftRequest, saved: int, why: str) -> None:
    run_dir, found, told = RunDir(request_.out), digests(request_), list[str]()
    begin(request_, run_dir, found, told.append)
    if saved:
        _checkpoint(run_dir, saved)
    run_dir.metrics.write_text("".join(json.dumps({"step": n, "data": {}}) + "\n" for n in (3, 4, 5)))
    assert begin(request_, run_dir, found, told.append) == saved
    first = 4 if saved else 3
    assert told == [f"metrics and samples of steps {first} to 5 removed ({why}): they are done again"]
    begin(request_, run_dir, found, told.append)
    assert len(told) == 1


@pytest.mark.parametrize("left", ["config.yaml", "checkpoints", "resume.json", "summary.json"])
def test_a_folder_of_another_command_is_left_alone(request_: SftRequest, left: str) -> None:
    run_dir = RunDir(request_.out)
    texts = {
        "resume.json": json.dumps({"settings": {}, "files": {}}),
        "summary.json": json.dumps({"steps": 3}),
    }
    if left == "checkpoints":
        _checkpoint(run_dir, 3)
    else:
        (request_.out / left).write_text(texts.get(left, "a: 1"))
    before = sorted(str(path) for path in request_.out.rglob("*"))
    with pytest.raises(ConfigError, match="run of another command: name another"):
        is_finished(request_, run_dir, {})
        begin(request_, run_dir, {})
    assert sorted(str(path) for path in request_.out.rglob("*")) == before


def test_a_summary_without_its_model_is_told(request_: SftRequest) -> None:
    run_dir = _finish(request_)
    (request_.out / "model" / "config.json").unlink()
    with pytest.raises(ConfigError, match="has a summary and no model: remove"):
        is_finished(request_, run_dir, {})


def test_a_place_that_reads_as_a_checkpoints_is_refused(request_: SftRequest) -> None:
    inside = request_.out / "global_step_8" / "sft"
    with pytest.raises(ConfigError, match="global_step_ in its path"):
        last_step(replace(request_, out=inside), RunDir(inside), {})


def test_the_best_step_is_the_lowest_that_is_there_and_of_equals_the_last() -> None:
    records = [
        {"step": step, "data": {"val/loss": loss}} for step, loss in ((2, 0.1), (4, 0.3), (6, 0.3), (8, 0.4))
    ]
    assert best_step(records, {4, 6, 8}) == 6
    assert best_step(records, {2, 4, 6, 8}) == 2
    assert best_step([{"step": 1, "data": {"train/loss": 1.0}}], {1}) is None

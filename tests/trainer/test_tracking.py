"""A step's metrics go to three places, and none of them can stop training or lose a step."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from verl_coder.run import backup
from verl_coder.run.run_dir import RunDir
from verl_coder.trainer.tracking import RunTracking


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def tracking(run_dir: RunDir, loggers: Any = ()) -> RunTracking:
    return RunTracking("project", "run", list(loggers), {"verl_coder": {"out": str(run_dir.path)}})


def lines(run_dir: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run_dir.metrics.read_text().splitlines()]


def scalars(run_dir: RunDir, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(run_dir.tensorboard))
    board.Reload()
    return [(event.step, event.value) for event in board.Scalars(name)]


def test_a_step_is_in_all_three_places(run_dir: RunDir) -> None:
    logger = tracking(run_dir)
    logger.log({"loss": np.float32(0.5), "who": "me"}, step=3)
    logger.finish()
    assert lines(run_dir) == [{"step": 3, "data": {"loss": 0.5, "who": "me"}}]
    assert run_dir.backup.read(3) == {"step": 3, "data": {"loss": 0.5, "who": "me"}, "tables": {}}
    assert scalars(run_dir, "loss") == [(3, 0.5)]


@pytest.mark.parametrize(
    "value",
    [
        2.0,
        np.float64(2),
        np.array(2.0),
        np.array([2.0]),
        torch.tensor(2.0),
        torch.tensor([[2.0]]),
        np.int64(2),
        2,
    ],
)
def test_a_number_stays_a_number(value: Any) -> None:
    assert backup.plain(value) == 2 and not isinstance(backup.plain(value), str)


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), torch.ones(2), [2.0], np.array([])])
def test_several_numbers_are_a_text(value: Any) -> None:
    assert backup.plain(value) == str(value)


def test_a_table_is_named_by_its_file_and_is_no_metric(run_dir: RunDir) -> None:
    tracking(run_dir).log({"tables/eval/samples": "eval_samples/step_000002.jsonl", "x": 1}, step=2)
    assert run_dir.backup.read(2)["tables"] == {"eval/samples": "eval_samples/step_000002.jsonl"}
    assert lines(run_dir) == [{"step": 2, "data": {"x": 1}}]


def test_steps_that_do_not_fit_on_the_disk_wait_and_are_written_in_order(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = tracking(run_dir)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(backup, "write_durably", full)
        for step in (1, 2):
            logger.log({"x": step}, step=step)
        assert not logger.write_waiting() and not run_dir.metrics.exists()
    logger.log({"x": 3}, step=3)
    assert [line["step"] for line in lines(run_dir)] == [1, 2, 3] == run_dir.backup.steps()
    [said] = run_dir.notices.read_text().splitlines()
    assert "metrics of step 1 cannot be written" in said


def test_what_waits_is_written_at_the_end(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = tracking(run_dir)
    run_dir.metrics.mkdir()
    logger.log({"x": 1}, step=1)
    run_dir.metrics.rmdir()
    logger.finish()
    assert [line["step"] for line in lines(run_dir)] == [1]


def test_tensorboard_begins_anew_after_its_writer_failed(run_dir: RunDir) -> None:
    logger = tracking(run_dir)
    logger.log({"x": 1.0}, step=1)

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    logger._board.add_scalar = fails
    logger.log({"x": 2.0}, step=2)
    logger.log({"x": 3.0}, step=3)
    logger.finish()
    assert [step for step, _ in scalars(run_dir, "x")] == [1, 3]
    assert [line["step"] for line in lines(run_dir)] == [1, 2, 3]


def test_a_resume_hides_tensorboards_steps_that_come_again(run_dir: RunDir) -> None:
    first = tracking(run_dir)
    for step in (1, 2, 3):
        first.log({"x": float(step)}, step=step)
    first._board.close()  # the file of a killed start ends like this, at the latest
    second = tracking(run_dir)
    second.log({"x": -2.0}, step=2)
    second.finish()
    assert scalars(run_dir, "x") == [(1, 1.0), (2, -2.0)]


def test_a_logger_of_verls_that_fails_does_not_stop_training(run_dir: RunDir) -> None:
    class Broken:
        def log(self, data: dict[str, Any], step: int) -> None:
            raise RuntimeError("no network")

    logger = tracking(run_dir)
    logger.logger["broken"] = Broken()
    for step in (1, 2):
        logger.log({"x": step}, step=step)
    assert [line["step"] for line in lines(run_dir)] == [1, 2]
    assert len(run_dir.notices.read_text().splitlines()) == 1


def test_wandb_never_runs_in_the_training_process(run_dir: RunDir) -> None:
    logger = tracking(run_dir, ["wandb", "tensorboard", "console"])
    assert set(logger.logger) == {"console"}

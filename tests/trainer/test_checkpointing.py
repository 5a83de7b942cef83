"""Saves in the trainer: a full disk costs one checkpoint and never the run; a name is given when all is on the disk."""

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from omegaconf import OmegaConf
from trainer.fake_trainer import FakeTrainer, verls_save
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.run.checkpoint_files import SAVING, is_whole, saved_steps, step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.trainer import checkpointing
from verl_coder.trainer.tracking import RunTracking


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    return RunDir(tmp_path / "run")


@pytest.fixture(autouse=True)
def _verl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", verls_save)


@contextmanager
def full_disk(left_bytes: int) -> Iterator[None]:
    """No file takes more than so many bytes: a write beyond fails in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def notices(run_dir: RunDir) -> list[str]:
    return [json.loads(line)["text"] for line in run_dir.notices.read_text().splitlines()]


def test_a_full_disk_in_a_save_is_told_and_the_older_checkpoint_is_intact(run_dir: RunDir) -> None:
    trainer = FakeTrainer(run_dir.path)
    trainer.save_now(1)
    trainer.weights = b"w" * 20_000
    with full_disk(10_000):
        trainer.save_now(2)
    assert run_dir.checkpoint_step() == 1
    assert saved_steps(run_dir.checkpoints) == [1] and is_whole(step_folder(run_dir.checkpoints, 1))
    assert not (run_dir.checkpoints / SAVING).exists()
    [said] = notices(run_dir)
    assert "step 2 could not be saved" in said and "the one of step 1 is whole" in said


def test_the_next_save_is_tried_again(run_dir: RunDir) -> None:
    trainer = FakeTrainer(run_dir.path)
    with full_disk(100):
        trainer.save_now(1)
    assert run_dir.checkpoint_step() == 0
    trainer.save_now(2)
    assert run_dir.checkpoint_step() == 2


def test_too_little_room_is_seen_before_a_worker_writes(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = FakeTrainer(run_dir.path)
    trainer.save_now(1)
    monkeypatch.setattr(checkpointing, "free_bytes", lambda _: 10)
    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", lambda _: pytest.fail("written all the same"))
    trainer.save_now(2)
    assert run_dir.checkpoint_step() == 1 and "disk full" in notices(run_dir)[0]


def test_a_full_disk_while_the_checkpoint_is_named_leaves_the_older_one(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = FakeTrainer(run_dir.path)
    trainer.save_now(1)

    def fails(path: Path, text: str) -> None:
        if path.name == "latest_checkpointed_iteration.txt":
            raise OSError(28, "No space left on device")
        path.write_text(text)

    monkeypatch.setattr("verl_coder.run.checkpoint_files.write_durably", fails)
    trainer.save_now(2)
    assert run_dir.checkpoint_step() == 1 and saved_steps(run_dir.checkpoints) == [1]


def test_a_worker_that_died_ends_the_run(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(_: FakeTrainer) -> None:
        raise ray.exceptions.RayActorError

    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", dies)
    with pytest.raises(ray.exceptions.RayActorError):
        FakeTrainer(run_dir.path).save_now(1)


def test_what_a_killed_save_and_a_killed_removal_left_goes_with_the_next_save(run_dir: RunDir) -> None:
    for name in (f"{SAVING}/global_step_7", ".removed_3"):
        (run_dir.checkpoints / name).mkdir(parents=True)
        (run_dir.checkpoints / name / "model.pt").write_bytes(b"half")
    FakeTrainer(run_dir.path).save_now(8)
    assert sorted(path.name for path in run_dir.checkpoints.iterdir() if path.is_dir()) == ["global_step_8"]


def test_verls_tracker_and_settings_are_untouched_by_a_save(run_dir: RunDir) -> None:
    trainer = FakeTrainer(run_dir.path)
    before = OmegaConf.to_container(trainer.config)
    trainer.save_now(1)
    assert OmegaConf.to_container(trainer.config) == before and trainer.global_steps == 1


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "separate_async"])
def test_a_save_is_written_at_once_and_named_at_the_end_of_its_step(run_dir: RunDir, mode: str) -> None:
    """At once: there vLLM rests, and on a GPU its memory is free. With what the evaluation came to, so not earlier."""
    trainer = FakeTrainer(run_dir.path, mode=mode)
    trainer._save_checkpoint()
    assert run_dir.checkpoint_step() == 0 and (run_dir.checkpoints / SAVING / "global_step_1").is_dir()
    trainer.state = {"of": "the evaluation"}
    trainer.note_pass_rate(0.5)
    trainer.global_steps = 2
    trainer.commit_written()
    assert run_dir.checkpoint_step() == 1
    state = json.loads((step_folder(run_dir.checkpoints, 1) / checkpointing.STATE).read_text())
    assert state == {"of": "the evaluation"}
    assert json.loads(run_dir.best.read_text()) == {"step": 1, "pass_rate": 0.5}


def test_what_was_written_and_not_named_is_no_checkpoint_after_a_kill(run_dir: RunDir) -> None:
    FakeTrainer(run_dir.path)._save_checkpoint()
    assert saved_steps(run_dir.checkpoints) == [] and run_dir.checkpoint_step() == 0


def test_no_checkpoint_is_named_whose_metrics_are_not_on_the_disk(run_dir: RunDir) -> None:
    trainer = FakeTrainer(run_dir.path)
    logger = RunTracking("p", "e", [], {"verl_coder": {"out": str(run_dir.path)}})
    trainer.logger = logger
    run_dir.metrics.mkdir()  # cannot be written
    logger.log({"x": 1.0}, step=1)
    trainer.save_now(1)
    assert run_dir.checkpoint_step() == 0 and any("metrics" in said for said in notices(run_dir))
    run_dir.metrics.rmdir()
    trainer.save_now(2)
    assert run_dir.checkpoint_step() == 2 and [r["step"] for r in run_dir.read_metrics()] == [1]


def test_the_best_evaluated_checkpoint_is_kept_beside_the_last_two(run_dir: RunDir) -> None:
    trainer = FakeTrainer(run_dir.path)
    for step, rate in enumerate((0.9, 0.9, 0.7, 0.6, 0.8), start=1):
        trainer.global_steps = step
        trainer.note_pass_rate(rate)
        trainer.save_now(step)
    assert saved_steps(run_dir.checkpoints) == [2, 4, 5]
    assert json.loads(run_dir.best.read_text()) == {"step": 2, "pass_rate": 0.9}


def test_without_keep_best_only_the_last_two_stay(run_dir: RunDir) -> None:
    trainer = FakeTrainer(run_dir.path, keep_best=False)
    for step in range(1, 5):
        trainer.global_steps = step
        trainer.note_pass_rate(1.0 / step)
        trainer.save_now(step)
    assert saved_steps(run_dir.checkpoints) == [3, 4] and not run_dir.best.exists()


def test_a_disk_too_full_to_remove_does_not_end_the_run(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpointing, "prune", fails)
    FakeTrainer(run_dir.path).save_now(1)
    assert run_dir.checkpoint_step() == 1 and "cannot be removed" in notices(run_dir)[0]


def test_a_checkpoint_that_is_removed_while_the_run_trains_costs_no_more(run_dir: RunDir) -> None:
    trainer = FakeTrainer(run_dir.path)
    trainer.save_now(1)
    shutil.rmtree(step_folder(run_dir.checkpoints, 1))
    trainer.note_pass_rate(0.5)
    trainer.weights = b"w" * 20_000
    with full_disk(10_000):
        trainer.save_now(2)
    said = notices(run_dir)
    assert "global_step_1/ is not whole; training goes on, and the next save names another" in said[0]
    assert "step 2 could not be saved" in said[1] and "there is no older one" in said[1]
    trainer.save_now(3)
    assert run_dir.checkpoint_step() == 3


def test_a_damaged_best_costs_neither_the_run_nor_a_checkpoint(run_dir: RunDir) -> None:
    trainer = FakeTrainer(run_dir.path)
    for step in (1, 2, 3):
        run_dir.best.write_text("{")
        trainer.save_now(step)
    assert saved_steps(run_dir.checkpoints) == [1, 2, 3] and "best.json is broken" in notices(run_dir)[0]
    trainer.global_steps = 3
    trainer.note_pass_rate(0.5)
    assert json.loads(run_dir.best.read_text()) == {"step": 3, "pass_rate": 0.5}
    assert saved_steps(run_dir.checkpoints) == [2, 3]


def test_the_order_that_was_given_is_the_one_that_is_saved(run_dir: RunDir) -> None:
    import torch

    trainer = FakeTrainer(run_dir.path)
    trainer.save_now(1, order={"place": 7})
    saved = torch.load(step_folder(run_dir.checkpoints, 1) / "data.pt", weights_only=False)
    assert saved == {"place": 7}


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "separate_async"])
def test_rows_that_were_trained_on_do_not_come_back_with_a_checkpoint(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Their prompts left the queue when they were drawn; what was not drawn yet is kept."""
    queue = {
        "waiting": {"is_prompt": True, "status": "finished"},
        "waiting_0_0": {},
        "trained_0_0": {},
        "trained_1_0": {},
    }
    cleared: list[tuple[list[str], str]] = []
    stand_in = SimpleNamespace(
        kv_list=lambda: {"train": queue},
        kv_clear=lambda keys, partition_id: cleared.append((keys, partition_id)),
    )
    monkeypatch.setattr(checkpointing, "tq", stand_in)
    monkeypatch.setattr(PPOTrainer, "_load_checkpoint", lambda trainer: None)
    FakeTrainer(run_dir.path, mode)._load_checkpoint()
    assert cleared == ([] if mode == "sync" else [(["trained_0_0", "trained_1_0"], "train")])

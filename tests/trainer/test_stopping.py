"""SIGTERM's request: a whole checkpoint, the data order of the step that was given up, a normal end."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainer.fake_trainer import FakeTrainer, verls_save
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.run.checkpoint_files import step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.trainer.stopping import StopRequested


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    return RunDir(tmp_path / "run")


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeTrainer, Callable[[int], None]], None]:
    """Runs verl's loop in short: steps that draw a batch, then `in_step(number)`, until step 5."""

    def run(trainer: FakeTrainer, in_step: Callable[[int], None]) -> None:
        def loop(self: FakeTrainer, _: Any) -> None:
            self.logger = SimpleNamespace(finish=lambda: None)
            while self.global_steps <= 5:
                self.on_step_begin()
                self.place += 8
                in_step(self.global_steps)
                self.global_steps += 1

        monkeypatch.setattr(PPOTrainer, "_save_checkpoint", verls_save)
        monkeypatch.setattr(PPOTrainer, "fit", loop)
        trainer.fit(None)

    return run


def saved_place(run_dir: RunDir, step: int) -> int:
    order = torch.load(step_folder(run_dir.checkpoints, step) / "data.pt", weights_only=False)
    return int(order["place"])


def test_a_request_between_two_steps_saves_the_one_that_ended(run_dir: RunDir, fit: Any) -> None:
    fit(FakeTrainer(run_dir.path), lambda step: run_dir.stop_request.touch() if step == 2 else None)
    assert json.loads(run_dir.stopped.read_text()) == {"step": 2}
    assert run_dir.checkpoint_step() == 2 and saved_place(run_dir, 2) == 16


def test_a_step_that_is_given_up_is_drawn_again(run_dir: RunDir, fit: Any) -> None:
    def in_step(step: int) -> None:
        if step == 4:
            raise StopRequested  # while it waits for rollouts: its batch was drawn already

    fit(FakeTrainer(run_dir.path), in_step)
    assert run_dir.checkpoint_step() == 3 and saved_place(run_dir, 3) == 24


@pytest.mark.parametrize("offloaded", ["param_offload", "optimizer_offload", None])
def test_vllm_gives_its_memory_back_before_what_was_offloaded_is_written(
    run_dir: RunDir, fit: Any, monkeypatch: pytest.MonkeyPatch, offloaded: str | None
) -> None:
    trainer = FakeTrainer(run_dir.path)
    if offloaded:
        trainer.config.actor_rollout_ref.actor.fsdp_config[offloaded] = True
    done: list[str] = []
    trainer.checkpoint_manager = SimpleNamespace(
        abort_replicas=lambda reject_request: done.append("abort"),
        sleep_replicas=lambda: done.append("sleep"),
    )
    write = trainer.write_now
    monkeypatch.setattr(trainer, "write_now", lambda *given: done.append("write") or write(*given))

    def in_step(step: int) -> None:
        if step == 4:
            raise StopRequested

    fit(trainer, in_step)
    assert done == (["abort", "sleep", "write"] if offloaded else ["write"])


def test_the_last_step_is_not_drawn_again_where_its_evaluation_was_given_up(
    run_dir: RunDir, fit: Any
) -> None:
    trainer = FakeTrainer(run_dir.path)

    def in_step(step: int) -> None:
        trainer._given_up = step == 5

    fit(trainer, in_step)
    assert run_dir.checkpoint_step() == 5 and saved_place(run_dir, 5) == 40


def test_a_request_in_the_first_step_saves_nothing(run_dir: RunDir, fit: Any) -> None:
    def in_step(step: int) -> None:
        raise StopRequested

    fit(FakeTrainer(run_dir.path), in_step)
    assert json.loads(run_dir.stopped.read_text()) == {"step": 0} and run_dir.checkpoint_step() == 0


def test_an_undisturbed_run_is_not_called_stopped(run_dir: RunDir, fit: Any) -> None:
    fit(FakeTrainer(run_dir.path), lambda step: None)
    assert not run_dir.stopped.exists()


@pytest.fixture
def asynchronous(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> FakeTrainer:
    monkeypatch.setattr(PPOTrainer, "step", lambda *_: None)
    return FakeTrainer(run_dir.path, mode="colocate_async")


def test_an_asynchronous_run_finishes_its_step(run_dir: RunDir, fit: Any, asynchronous: FakeTrainer) -> None:
    trainer = asynchronous

    def in_step(step: int) -> None:
        if step == 3:
            run_dir.stop_request.touch()
        trainer.step({}, {})
        if step == 3:
            assert run_dir.checkpoint_step() == 0  # written, and named only when the step has ended

    fit(trainer, in_step)
    assert run_dir.checkpoint_step() == 3 and saved_place(run_dir, 3) == 24
    assert json.loads(run_dir.stopped.read_text()) == {"step": 3}


def test_a_request_after_the_place_for_a_save_costs_an_asynchronous_run_a_step_and_no_trained_one(
    run_dir: RunDir, fit: Any, asynchronous: FakeTrainer
) -> None:
    def in_step(step: int) -> None:
        asynchronous.step({}, {})
        if step == 3:
            run_dir.stop_request.touch()  # in the weight sync, the evaluation or the metrics of step 3

    fit(asynchronous, in_step)
    assert run_dir.checkpoint_step() == 4 and saved_place(run_dir, 4) == 32
    assert json.loads(run_dir.stopped.read_text()) == {"step": 4}


def test_a_request_where_the_step_is_saved_ends_an_asynchronous_run_at_once(
    run_dir: RunDir, fit: Any, asynchronous: FakeTrainer
) -> None:
    def in_step(step: int) -> None:
        asynchronous.step({}, {})
        if step == 3:
            asynchronous._save_checkpoint()
            run_dir.stop_request.touch()

    fit(asynchronous, in_step)
    assert json.loads(run_dir.stopped.read_text()) == {"step": 3} and asynchronous.global_steps == 4


def test_an_asynchronous_run_ends_though_its_last_save_fails(
    run_dir: RunDir, fit: Any, asynchronous: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(asynchronous, "_check_space", no_room)

    def in_step(step: int) -> None:
        if step == 3:
            run_dir.stop_request.touch()
        asynchronous.step({}, {})

    fit(asynchronous, in_step)
    assert json.loads(run_dir.stopped.read_text()) == {"step": 0} and asynchronous.global_steps == 4

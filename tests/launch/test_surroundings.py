"""What the launcher gives a run beside its configuration."""

import pytest

from verl_coder.launch import surroundings
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.surroundings import LEAST_SESSIONS, SESSION_BYTES, sessions_at_once


def sessions(*overrides: str) -> int:
    return sessions_at_once(
        make_plan(TrainRequest(recipe="tiny_cpu", out="/nowhere", overrides=overrides)).config
    )


def test_every_trajectory_of_a_step_and_of_an_evaluation_may_keep_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surroundings, "machine_bytes", lambda: 1 << 40)
    assert sessions("data.val_batch_size=1") == 16 * 8
    assert sessions("data.val_batch_size=1", "actor_rollout_ref.rollout.n=32") == 16 * 32
    assert sessions("data.val_batch_size=1000", "verl_coder.eval_samples=0") == 1000
    assert sessions("data.val_batch_size=1000", "verl_coder.eval_samples=4") == 5000
    assert sessions("data.val_batch_size=1", "data.train_batch_size=1") == LEAST_SESSIONS


@pytest.mark.parametrize("mode", ["colocate_async", "separate_async"])
def test_batches_asked_for_ahead_and_an_evaluation_beside_them_may_keep_sessions(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(surroundings, "machine_bytes", lambda: 1 << 40)
    of_mode = (f"mode={mode}", "data.val_batch_size=100", "verl_coder.eval_samples=0")
    assert sessions(*of_mode) == 2 * 16 * 8 + 100
    assert sessions(*of_mode, f"trainer.v1.{mode}.num_warmup_batches=0.5") == 24 * 8 + 100


def test_rows_that_are_fetched_together_are_not_all_that_is_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surroundings, "machine_bytes", lambda: 1 << 40)
    assert sessions("data.val_batch_size=1", "data.gen_batch_size=2") == 16 * 8


def test_an_evaluation_of_all_problems_at_once_may_have_as_many_as_there_is_memory_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surroundings, "machine_bytes", lambda: 4 * 999 * SESSION_BYTES)
    assert sessions("data.val_batch_size=null") == 999


def test_no_more_than_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "machine_bytes", lambda: 4 * 100 * SESSION_BYTES)
    assert sessions("data.val_batch_size=1000") == 100

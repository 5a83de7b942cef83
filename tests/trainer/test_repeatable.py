"""The same seed, the same run: names, seeds and the order of rows do not depend on the clock."""

from pathlib import Path
from typing import Any

import pytest
from tensordict import NonTensorStack, TensorDict
from trainer.fake_trainer import FakeTrainer
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.trainer.repeatable import RepeatableMixin, prompt_names, rollout_seed, row_order


class Trainer(RepeatableMixin, FakeTrainer):
    """In its third step."""

    def __init__(self, mode: str) -> None:
        super().__init__(Path("out"), mode)
        self.global_steps = 3


@pytest.fixture(autouse=True)
def verls_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(self: Any) -> TensorDict:
        return TensorDict({"uid": NonTensorStack("x", "y")}, batch_size=2)

    monkeypatch.setattr(PPOTrainer, "_fetch_one_gen_batch", fetch)
    monkeypatch.setattr(PPOTrainer, "_balance_batch", lambda self, batch, metrics: batch)


def names(trainer: Trainer) -> list[str]:
    return list(trainer._fetch_one_gen_batch()["uid"])


def test_prompts_of_a_step_have_names_of_their_own_and_those_of_the_step_repeated_the_same() -> None:
    first, again = Trainer("sync"), Trainer("sync")
    drawn = [names(first), names(first)]
    assert drawn == [["000003-000000", "000003-000001"], ["000003-000002", "000003-000003"]]
    first.global_steps = 4
    assert names(first) == ["000004-000000", "000004-000001"]
    assert [names(again), names(again)] == drawn


@pytest.mark.parametrize("mode", ["colocate_async", "separate_async"])
def test_where_prompts_are_asked_for_ahead_verls_names_stay(mode: str) -> None:
    trainer = Trainer(mode)
    assert names(trainer) == ["x", "y"]
    batch = KVBatchMeta(partition_id="train", keys=["y_0_0", "x_0_0"], tags=[{}, {}])
    assert trainer._balance_batch(batch, metrics={}).keys == ["y_0_0", "x_0_0"]


def test_rows_are_in_the_order_of_their_prompts_and_samples_whatever_ended_first() -> None:
    prompts = prompt_names(12, 0, 2)
    order = [f"{prompt}_{sample}_{output}" for prompt in prompts for sample in range(11) for output in (0, 1)]
    keys = sorted(order, key=lambda key: key[::-1])
    batch = KVBatchMeta(partition_id="train", keys=list(keys), tags=[{"key": key} for key in keys])
    batch = Trainer("sync")._balance_batch(batch, metrics={})
    assert batch.keys == order and [tag["key"] for tag in batch.tags] == order
    assert [keys[i] for i in row_order(keys)] == order


def test_every_sample_of_every_prompt_of_every_seed_draws_for_itself() -> None:
    seeds = [
        rollout_seed(seed, prompt, sample)
        for seed in (0, 1)
        for prompt in prompt_names(1, 0, 20)
        for sample in range(8)
    ]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)
    assert rollout_seed(0, "000001-000000", 0) == seeds[0]

"""Group filtering draws more prompts up to its limit, and says why it ends when nothing more can fill the batch."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from trainer.fake_queue import FakeQueue
from verl.trainer.ppo.v1 import replay_buffer
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync

from verl_coder.errors import VerlCoderError
from verl_coder.trainer.group_filter import (
    RefillLimit,
    drop_groups_equal_but_for_a_verdict,
    shared_value,
)


def test_prompts_are_drawn_up_to_the_limit_of_each_step() -> None:
    drawn: list[int] = []
    limit = RefillLimit(lambda count: drawn.append(count) or count, first=8, most=16)
    for _ in range(2):
        assert limit(6) == 6
        assert limit(6) == 2, "what the limit leaves"
        assert limit(1) == 0 and limit.drawn == 16
        limit.next_step()
    assert drawn == [6, 2, 6, 2]


def test_a_batch_is_given_up_where_nothing_runs_and_nothing_may_be_drawn() -> None:
    limit = RefillLimit(lambda count: count, first=8, most=16)
    limit.wait(running=0)
    limit(8)
    limit.wait(running=1)
    with pytest.raises(VerlCoderError, match=r"16 prompts were sampled .* batch of 8 .*max_num_gen_batches"):
        limit.wait(running=0)


def test_prompts_are_drawn_in_whole_batches_of_generation() -> None:
    limit = RefillLimit(lambda count: count, first=8, most=18, unit=4)
    assert limit(12) == 8 and limit(4) == 0
    with pytest.raises(VerlCoderError, match="16 prompts"):
        limit.wait(running=0)


def test_zero_is_no_limit() -> None:
    limit = RefillLimit(lambda count: count, first=8, most=0)
    for _ in range(100):
        limit(8)
    limit.wait(running=0)
    assert limit.drawn == 808


UNAVAILABLE = {"sandbox_unavailable": 1.0}


@pytest.mark.parametrize("metric", ["reward", "acc"])
@pytest.mark.parametrize("buffer_class", [ReplayBuffer, ReplayBufferAsync])
@pytest.mark.parametrize(
    ("earned", "lacks_verdict", "is_dropped"),
    [
        ([1.0, 1.0, 0.0], 2, True),
        ([1.0, 0.0, 0.0], 2, False),
        ([1.0, 1.0, 0.0], None, False),
        ([0.0, 0.0, 0.0], 0, True),
    ],
)
def test_a_sample_without_a_verdict_gives_its_group_no_signal(
    monkeypatch: pytest.MonkeyPatch,
    metric: str,
    buffer_class: type[ReplayBuffer],
    earned: list[float],
    lacks_verdict: int | None,
    is_dropped: bool,
) -> None:
    fields = [
        {"reward_extra_info": {"acc": value} | (UNAVAILABLE if row == lacks_verdict else {})}
        for row, value in enumerate(earned)
    ]
    queue = FakeQueue(
        uid=["u"] * 3, rm_scores=[torch.tensor([value]) for value in earned], extra_fields=fields
    )
    keys = queue.stand_in(monkeypatch).keys
    monkeypatch.setattr(replay_buffer, "tq", queue)
    buffer: Any = buffer_class(
        "sync", OmegaConf.create(), 3, "drop", OmegaConf.create(),
        refill_fn=lambda count: count, filter_groups_metric=metric,
    )  # fmt: skip
    buffer.partitions["train"] = {key: {} for key in keys}
    buffer.finished_keys["train"] = {"u"}
    drop_groups_equal_but_for_a_verdict(buffer)
    for _ in range(2):  # the second time what was found is remembered
        uids, counts = buffer._dapo_filtered_keys("train")
        assert uids == ({"u"} if is_dropped else set()) and sum(counts.values()) == len(uids)


def test_a_group_in_which_one_sample_has_a_verdict_compares_nothing() -> None:
    assert shared_value([1.0, 0.0], [False, True]) == 1.0
    assert shared_value([0.0, 0.0], [True, True]) == 0.0
    assert shared_value([1.0, 0.0], [False, False]) is None

"""Group filtering draws more prompts up to its limit, and says why it ends when nothing more can fill the batch."""

from dataclasses import asdict
from typing import Any, get_args

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
from verl_coder.trainer.rollout_faults import FAULT, Kind, SampleFault


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


def _filtered(
    monkeypatch: pytest.MonkeyPatch,
    fields: list[dict[str, Any]],
    *,
    metric: str = "reward",
    buffer_class: type[ReplayBuffer] = ReplayBuffer,
) -> set[str]:
    """What is dropped of a group of these `extra_fields`; asked twice, since what was found is remembered."""
    earned = [field["reward_extra_info"]["acc"] for field in fields]
    queue = FakeQueue(
        uid=["u"] * len(fields), rm_scores=[torch.tensor([value]) for value in earned], extra_fields=fields
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
    first, again = (buffer._dapo_filtered_keys("train") for _ in range(2))
    assert first == again and sum(first[1].values()) == len(first[0])
    return first[0]


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
    fields: list[dict[str, Any]] = [
        {"reward_extra_info": {"acc": value} | (UNAVAILABLE if row == lacks_verdict else {})}
        for row, value in enumerate(earned)
    ]
    dropped = _filtered(monkeypatch, fields, metric=metric, buffer_class=buffer_class)
    assert dropped == ({"u"} if is_dropped else set())


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_sample_without_a_score_of_its_own_gives_its_group_no_signal(
    monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    fault = SampleFault(kind=kind, what="x", where="problem a, sample 2")
    failed = {FAULT: asdict(fault), "reward_extra_info": fault.infos()}
    right, wrong = ({"reward_extra_info": {"acc": value}} for value in (1.0, 0.0))
    assert _filtered(monkeypatch, [right, right, failed]) == {"u"}
    assert _filtered(monkeypatch, [right, wrong, failed]) == set()


def test_a_group_of_one_sample_is_kept_as_verl_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _filtered(monkeypatch, [{"reward_extra_info": {"acc": 1.0}}]) == set()


def test_a_group_in_which_one_sample_has_a_verdict_compares_nothing() -> None:
    assert shared_value([1.0, 0.0], [False, True]) == 1.0
    assert shared_value([0.0, 0.0], [True, True]) == 0.0
    assert shared_value([1.0, 0.0, 0.0], [False, False, True]) is None


def test_a_group_in_which_each_sample_has_a_verdict_is_left_to_verl() -> None:
    assert shared_value([1.0], [False]) is None
    assert shared_value([1.0, 0.0], [False, False]) is None

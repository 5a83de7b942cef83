"""Group filtering draws more prompts up to its limit, and says why it ends when nothing more can fill the batch."""

import pytest

from verl_coder.errors import VerlCoderError
from verl_coder.trainer.group_filter import RefillLimit


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

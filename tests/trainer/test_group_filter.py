"""Group filtering draws more prompts up to its limit, and then says why it ends."""

import pytest

from verl_coder.errors import VerlCoderError
from verl_coder.trainer.group_filter import RefillLimit


def test_prompts_are_drawn_up_to_the_limit_of_each_step() -> None:
    drawn: list[int] = []
    limit = RefillLimit(lambda count: drawn.append(count) or count, first=8, most=16)
    for _ in range(2):
        assert limit(8) == 8
        assert limit.drawn == 16
        with pytest.raises(
            VerlCoderError, match=r"16 prompts were sampled .* batch of 8 .*max_num_gen_batches"
        ):
            limit(1)
        limit.next_step()
    assert drawn == [8, 8]


def test_zero_is_no_limit() -> None:
    limit = RefillLimit(lambda count: count, first=8, most=0)
    for _ in range(100):
        limit(8)
    assert limit.drawn == 808

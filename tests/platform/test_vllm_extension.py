"""A weight sync on the CPU: what has been loaded is not kept beside the model."""

import weakref
from collections import deque

import torch

from verl_coder.platform.vllm_extension import _forgotten


def test_a_weight_that_was_taken_is_free_when_the_next_is_asked_for() -> None:
    weights = deque((str(number), torch.zeros(3)) for number in range(3))
    alive = [weakref.ref(tensor) for _, tensor in weights]
    taken = []
    for name, _ in _forgotten(weights):
        taken.append(name)
        del _
        assert [ref() is None for ref in alive[: len(taken) - 1]] == [True] * (len(taken) - 1)
    assert taken == ["0", "1", "2"] and all(ref() is None for ref in alive)

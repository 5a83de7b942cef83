"""TensorDicts without copies: a copy takes every object of every row apart, a fifth of a small model's pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from tensordict import TensorDict


@contextmanager
def replaced(data: TensorDict, name: str, value: torch.Tensor) -> Iterator[TensorDict]:
    """In the block the column `name` of `data` is `value`; then it is again what it was."""
    before = data[name]
    data[name] = value
    try:
        yield data
    finally:
        data[name] = before

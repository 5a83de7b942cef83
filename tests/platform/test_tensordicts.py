"""A column that is replaced for a while is again what it was, and no row is copied for it."""

import pytest
import torch
from tensordict import NonTensorStack, TensorDict

from verl_coder.platform.tensordicts import replaced


def batch() -> TensorDict:
    ids = torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    return TensorDict({"input_ids": ids, "raw_prompt": NonTensorStack("a", "b")}, batch_size=2)


def test_the_column_is_the_other_one_in_the_block_alone() -> None:
    data, other = (
        batch(),
        torch.nested.as_nested_tensor([torch.zeros(1), torch.zeros(4)], layout=torch.jagged),
    )
    before = data["input_ids"]
    with replaced(data, "input_ids", other) as changed:
        assert changed is data and data["input_ids"] is other
    assert data["input_ids"] is before


def test_an_error_in_the_block_leaves_the_column_as_it_was() -> None:
    data = batch()
    before = data["input_ids"]
    with pytest.raises(ZeroDivisionError), replaced(data, "input_ids", torch.zeros(2, 7)):
        raise ZeroDivisionError
    assert data["input_ids"] is before

"""A training worker fetches the columns with numbers and leaves the others where they are."""

from typing import Any

import pytest
import torch
from tensordict import NonTensorStack, TensorDict
from transfer_queue.metadata import extract_field_schema
from verl.utils import transferqueue_utils

from verl_coder.platform import worker_columns

ROWS = TensorDict(
    {
        "input_ids": torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "rm_scores": torch.zeros(2, 1),
        "raw_prompt": NonTensorStack([{"role": "user"}], [{"role": "user"}]),
        "multi_modal_inputs": NonTensorStack({}, {}),
    },
    batch_size=2,
)


def test_numbers_and_what_a_pass_reads_beside_them_are_fetched() -> None:
    wanted = worker_columns.numeric_columns(extract_field_schema(ROWS))
    assert sorted(wanted) == ["input_ids", "multi_modal_inputs", "rm_scores"]


class _Batch:
    field_schema = extract_field_schema(ROWS)

    def select_fields(self, names: list[str]) -> list[str]:
        return sorted(names)


@pytest.mark.parametrize("named", [["input_ids", "multi_modal_inputs", "raw_prompt", "rm_scores"], None])
async def test_objects_stay_where_they_are_also_where_the_batch_names_them(
    monkeypatch: pytest.MonkeyPatch, named: list[str] | None
) -> None:
    async def whole(meta: Any) -> _Batch:
        return _Batch()

    monkeypatch.setattr(worker_columns, "_verls_meta", whole)
    meta = type("Meta", (), {"fields": named})
    found = await transferqueue_utils.async_kv_batch_meta2batch_meta(meta)
    assert found == ["input_ids", "multi_modal_inputs", "rm_scores"]

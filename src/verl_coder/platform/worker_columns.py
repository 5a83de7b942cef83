"""The columns of a batch that a training worker reads: those with numbers.

verl's workers fetch all columns of their rows from TransferQueue, then copy them, split them and move them to the
device once for each pass: prompts as messages, hidden tests, tools' arguments, what the reward reported. None of
these takes part in a pass, and on a small model to carry them costs more than the pass. In an update the batch names
its columns, all of them, since what was written to it last says what it has. Importing the module leaves objects
where they are; `fsdp_cpu.py` and `fsdp_gpu.py` do, which recipes name as `external_lib`.
"""

from typing import Any

import verl.utils.transferqueue_utils as transferqueue_utils

_OBJECTS_OF_A_PASS = ("multi_modal_inputs",)
"""Columns of objects that verl's engine reads: pictures and sounds."""


def numeric_columns(schema: dict[str, dict[str, Any]]) -> list[str]:
    """Of TransferQueue's `field_schema`, the names of tensors and of what a pass reads beside them."""
    return [
        name for name, field in schema.items() if not field.get("is_non_tensor") or name in _OBJECTS_OF_A_PASS
    ]


async def _only_numbers(meta: Any) -> Any:
    batch = await _verls_meta(meta)
    return batch.select_fields(numeric_columns(batch.field_schema))


_verls_meta: Any = transferqueue_utils.async_kv_batch_meta2batch_meta
transferqueue_utils.async_kv_batch_meta2batch_meta = _only_numbers

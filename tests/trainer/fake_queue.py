"""TransferQueue's columns in this process, for code that reads and writes a batch."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tensordict import NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import trainer_base

from verl_coder.trainer import recipe_trainer


class FakeQueue:
    """One batch, whose rows are always asked for together."""

    def __init__(self, **columns: Sequence[Any]) -> None:
        self.columns = {name: list(rows) for name, rows in columns.items()}

    def kv_batch_get(self, keys: list[str], partition_id: str, select_fields: list[str]) -> TensorDict:
        """The columns that are there."""
        found = {name: self.columns[name] for name in select_fields if name in self.columns}
        return TensorDict({name: _column(rows) for name, rows in found.items()}, batch_size=len(keys))

    def kv_batch_put(self, keys: list[str], partition_id: str, fields: TensorDict, **_: Any) -> None:
        """Replace columns."""
        for name in fields.keys():  # noqa: SIM118 (a TensorDict iterates over its rows)
            column = fields.get(name)
            self.columns[name] = list(column.unbind()) if torch.is_tensor(column) else column.tolist()

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> KVBatchMeta:
        """Take the queue's place in verl's trainer and in ours; returns the batch."""
        for module in (recipe_trainer, trainer_base):
            monkeypatch.setattr(module, "tq", self)
        keys = [f"{uid}_{row}_0" for row, uid in enumerate(self.columns["uid"])]
        return KVBatchMeta(keys=keys, partition_id="train", tags=[{} for _ in keys])


def _column(rows: list[Any]) -> Any:
    if torch.is_tensor(rows[0]):
        return torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    return NonTensorStack(*rows)

"""`data.custom_cls` of verl's SFT trainer: rows of tokens, made by `rows.py` exactly as a rollout makes them."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset


class TokenRows(Dataset[dict[str, torch.Tensor]]):
    """Rows of `input_ids` and `loss_mask`, of any length; verl's collator packs them without padding."""

    def __init__(self, parquet_files: Any, tokenizer: Any = None, config: Any = None, **_: Any) -> None:
        files = [parquet_files] if isinstance(parquet_files, str | Path) else list(parquet_files)
        self._rows = [
            row
            for file in files
            for row in pq.read_table(file, columns=["input_ids", "loss_mask"]).to_pylist()
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = self._rows[index]
        return {
            "input_ids": torch.tensor(row["input_ids"], dtype=torch.long),
            # Begins at 0 in every row: that is how attention knows where a packed row ends.
            "position_ids": torch.arange(len(row["input_ids"]), dtype=torch.long),
            "loss_mask": torch.tensor(row["loss_mask"], dtype=torch.long),
        }

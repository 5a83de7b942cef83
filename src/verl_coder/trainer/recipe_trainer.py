"""What the trainer's parts share: the recipe's own settings, and reading a batch out of TransferQueue."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transfer_queue as tq
from tensordict import NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.run.notices import Notices
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import Settings, parse_settings

WHOLE_FIELD = "sample_is_whole"
"""Column of a batch, (1,) each: 1 where a sample ended by itself in a turn that says something, whatever is masked."""


class RecipeTrainer(PPOTrainer):
    """verl's trainer, which knows the recipe's `verl_coder:` section."""

    @cached_property
    def settings(self) -> Settings:
        """The recipe's `verl_coder:` section."""
        return parse_settings(self.config.verl_coder)

    @cached_property
    def run_dir(self) -> RunDir:
        """The folder of this run."""
        return RunDir(Path(self.settings.out))

    asked_answers: int = 0
    """Answers that the present evaluation asks for."""

    @cached_property
    def notices(self) -> Notices:
        """Warnings, each said once."""
        return Notices(self.run_dir.notices)


def place_of(key: str) -> tuple[str, int, int]:
    """Prompt, sample and output of a row's key, `{prompt}_{sample}_{output}`; (key, 0, 0) of another form."""
    prompt, _, output = key.rpartition("_")
    prompt, _, sample = prompt.rpartition("_")
    return (prompt, int(sample), int(output)) if sample.isdigit() and output.isdigit() else (key, 0, 0)


def read_plain(column: Any) -> list[Any]:
    """A non-tensor column of TransferQueue as a list: it comes back in one of three containers."""
    return [getattr(value, "data", value) for value in column]


def read_columns(batch: KVBatchMeta, *names: str) -> Any:
    """The named columns of the batch that exist, as a TensorDict."""
    return tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=list(names))


def read_extra_fields(batch: KVBatchMeta) -> list[dict[str, Any]]:
    """What the agent loop, the tools and the reward function reported, one dict per row of the batch."""
    return [dict(field or {}) for field in read_plain(read_columns(batch, "extra_fields")["extra_fields"])]


def jagged(rows: list[torch.Tensor]) -> torch.Tensor:
    """Rows of unequal length as one tensor, in the form that verl keeps them."""
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def write_columns(batch: KVBatchMeta, columns: Mapping[str, Sequence[Any]]) -> None:
    """Put columns of all rows, per token or of texts, into TransferQueue, replacing those of the same name."""
    fields = {
        name: jagged(list(rows)) if torch.is_tensor(rows[0]) else NonTensorStack(*rows)
        for name, rows in columns.items()
    }
    tq.kv_batch_put(
        keys=batch.keys,
        partition_id=batch.partition_id,
        fields=TensorDict(fields, batch_size=len(batch)),
    )

"""Rows of an update that have no gradient are not computed.

Where all samples of a prompt have one reward, their advantages are 0: the policy term of such a row is 0 whatever
the model says, and so is its gradient. On real problems that is about half of the rows. The trainer names the columns
that a row's loss is a multiple of (`GRADIENT_FIELD`), where the loss has no other term
(trainer/composite/gradient.py); a row that is zero in all of them is left out of the micro-batches. What the loss is
divided by counts all rows, as before; the share of the tokens that is computed goes along with the data
(`COMPUTED_SHARE_FIELD`), for the loss function to report. Importing the module puts it into verl's FSDP engine.
"""

from typing import Any

import torch
import torch.distributed as dist
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

# Its micro-batches are wrapped here: it comes first.
from verl_coder.platform import shared_prefix
from verl_coder.platform.update_options import COMPUTED_SHARE_FIELD, GRADIENT_FIELD


def rows_with_gradient(data: TensorDict, names: list[str]) -> torch.Tensor:
    """(B,) bool: whether a row has a number that is not 0 in one of its jagged columns `names`."""
    found = torch.zeros(len(data), dtype=torch.bool, device=data["input_ids"].device)
    for name in names:
        values = data[name]
        rows = torch.repeat_interleave(values.offsets().diff())
        found[rows[values.values() != 0]] = True
    return found


def rows_to_compute(has_gradient: torch.Tensor, lengths: torch.Tensor, least: int = 1) -> torch.Tensor:
    """Numbers, ascending, of the rows with a gradient, and of the shortest others until there are `least`."""
    rows = has_gradient.nonzero().view(-1)
    if missing := max(least - len(rows), 0):
        others = (~has_gradient).nonzero().view(-1)
        rows = torch.cat([rows, others[lengths[others].argsort(stable=True)[:missing]]]).sort().values
    return rows


def _prepare_micro_batches(data: TensorDict, dp_group: Any = None, **options: Any) -> tuple[Any, Any]:
    """The micro-batches of the rows that have a gradient."""
    names = str(tu.get_non_tensor_data(data, GRADIENT_FIELD, "") or "")
    if not names or not tu.get_non_tensor_data(data, "use_dynamic_bsz", True):
        return _all_rows(data=data, dp_group=dp_group, **options)
    has_gradient = rows_with_gradient(data, names.split(","))
    least = torch.clamp(has_gradient.sum(), min=1)
    if dist.is_initialized() and dp_group is not None:
        # As many on every rank, which then can have as many micro-batches: each is a collective of FSDP.
        dist.all_reduce(least, op=dist.ReduceOp.MAX, group=dp_group)
    lengths = data["input_ids"].offsets().diff()
    rows = rows_to_compute(has_gradient, lengths, int(least.item()))
    if len(rows) < len(data):
        data = tu.index_select_tensor_dict(data, rows)
        share = float(lengths[rows].sum() / lengths.sum())
        tu.assign_non_tensor(data, **{COMPUTED_SHARE_FIELD: share})
    return _all_rows(data=data, dp_group=dp_group, **options)


_engine_module: Any = shared_prefix.engine_module
_all_rows = _engine_module.prepare_micro_batches
_engine_module.prepare_micro_batches = _prepare_micro_batches

"""Which checkpoint of an SFT run has the lowest held-out loss: what its metrics say, of those that are there."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

LOSS = "val/loss"


def best_step(records: Iterable[Mapping[str, Any]], saved: Collection[int]) -> int | None:
    """The step with the lowest loss among `saved`, of equals the last one; None where none of them was evaluated."""
    losses = [
        (record["data"][LOSS], -record["step"])
        for record in records
        if LOSS in record["data"] and record["step"] in saved
    ]
    return -min(losses)[1] if losses else None

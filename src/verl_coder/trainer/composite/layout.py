"""Where rows stand in a batch that verl splits: by rank, then by mini-batch.

verl gives each data-parallel rank a contiguous part of the batch, and each rank cuts its part into mini-batches.
A mini-batch is the j-th block of every rank together. Added rows must go into the blocks, the same number into
each, or the blocks would shift against each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How verl will split `rows` rows over `dp_size` ranks into mini-batches of `mini_batch_rows` (of all ranks)."""

    rows: int
    dp_size: int
    mini_batch_rows: int

    def __post_init__(self) -> None:
        if self.mini_batch_rows % self.dp_size or self.rows % self.mini_batch_rows:
            raise ValueError(f"{self} does not divide")

    @property
    def mini_batches(self) -> int:
        """Optimiser steps of one pass over the batch."""
        return self.rows // self.mini_batch_rows

    @property
    def block_rows(self) -> int:
        """Rows of one rank in one mini-batch."""
        return self.mini_batch_rows // self.dp_size

    @property
    def mini_batch_of(self) -> list[int]:
        """The mini-batch of each row of the batch."""
        return [row // self.block_rows % self.mini_batches for row in range(self.rows)]

    def added_per_block(self, added: Sequence[Sequence[Row]], multiple: int = 1) -> int:
        """Rows to add to every block so that each mini-batch's `added` fit and blocks stay multiples of `multiple`."""
        most = max((math.ceil(len(rows) / self.dp_size) for rows in added), default=0)
        return math.ceil((self.block_rows + most) / multiple) * multiple - self.block_rows

    def interleave(
        self, batch: Sequence[Row], added: Sequence[Sequence[Row]], filler: Sequence[Row], multiple: int = 1
    ) -> list[Row]:
        """The batch with `added[j]` spread over the ranks of mini-batch j, and evenly within each block.

        filler: rows that train nothing, taken where a block has too few (see `filler_rows`). `multiple`: the
        micro-batch size where verl cuts blocks into equal micro-batches, else 1.
        """
        per_block = self.added_per_block(added, multiple)
        spare = iter(filler)
        result: list[Row] = []
        for rank in range(self.dp_size):
            for number in range(self.mini_batches):
                start = (rank * self.mini_batches + number) * self.block_rows
                mine = list(added[number][rank :: self.dp_size])
                mine += [next(spare) for _ in range(per_block - len(mine))]
                result += _spread(batch[start : start + self.block_rows], mine)
        return result

    def filler_rows(self, added: Sequence[Sequence[Row]], multiple: int = 1) -> int:
        """How many rows of padding `interleave` needs."""
        per_block = self.added_per_block(added, multiple)
        return per_block * self.dp_size * self.mini_batches - sum(len(rows) for rows in added)


def _spread(rows: Sequence[Row], added: Sequence[Row]) -> list[Row]:
    """Both in one list, the added rows at even distances: a micro-batch then holds some of each."""
    places = [((i + 0.5) / len(rows), 0, row) for i, row in enumerate(rows)]
    places += [((i + 0.5) / len(added), 1, row) for i, row in enumerate(added)]
    return [row for _, _, row in sorted(places, key=lambda place: place[:2])]

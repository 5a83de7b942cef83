"""The order of the training problems under a curriculum: a pure function of the seed and of what was drawn."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class CurriculumOrder:
    """Draws batches of row indices. Within a stage every row comes once before any comes twice."""

    stage_of_row: Sequence[int | None]
    """Stage of each row; None is never drawn."""
    seed: int
    mix_in: float
    window: int = 0
    """Problems of a training batch, where it is drawn in parts: those drawn last are not drawn again within it."""
    drawn: list[int] = field(default_factory=list)
    """Rows drawn so far, per stage."""
    skipped: list[list[int]] = field(default_factory=list)
    """Rows, per stage, that a batch had already when their turn came: they are drawn before any other."""
    owed: float = 0.0
    """Fraction of a row that earlier stages are owed, carried to the next batch."""
    turn: int = 0
    """Which earlier stage is next."""
    recent: list[int] = field(default_factory=list)
    """The last `window` - 1 rows drawn."""

    def __post_init__(self) -> None:
        count = max((stage for stage in self.stage_of_row if stage is not None), default=-1) + 1
        self.drawn = self.drawn or [0] * count
        self.skipped = self.skipped or [[] for _ in range(count)]
        self._rows = [[i for i, s in enumerate(self.stage_of_row) if s == stage] for stage in range(count)]
        self._shuffled: dict[int, tuple[int, list[int]]] = {}

    def batch(self, size: int, stage: int) -> list[int]:
        """Indices of the next `size` problems in `stage`; no row twice while the stages have enough."""
        self.owed += size * self.mix_in if stage else 0.0
        earlier = int(self.owed + 1e-9)
        self.owed -= earlier
        in_parts = size < self.window
        before = self.recent if in_parts else []
        chosen: list[int] = []
        for place in range(size):
            source = stage
            if place < earlier:
                source, self.turn = self.turn % stage, self.turn + 1
            chosen.append(self._draw(source, [*before, *chosen]))
        self.recent = [*before, *chosen][-(self.window - 1) :] if in_parts else []
        return chosen

    def _draw(self, stage: int, taken: list[int]) -> int:
        skipped, rows = self.skipped[stage], self._rows[stage]
        all_taken = len(rows) <= len(taken) and set(rows) <= set(taken)
        for place, row in enumerate(skipped):
            if all_taken or row not in taken:
                return skipped.pop(place)
        while True:
            row = self._row(stage, self.drawn[stage])
            self.drawn[stage] += 1
            if all_taken or row not in taken:
                return row
            skipped.append(row)

    def _row(self, stage: int, position: int) -> int:
        """The `position`-th row of a stage, over all its passes; each pass has its own order."""
        epoch, index = divmod(position, len(self._rows[stage]))
        if self._shuffled.get(stage, (-1, []))[0] != epoch:
            order = list(self._rows[stage])
            random.Random(f"{self.seed}/{stage}/{epoch}").shuffle(order)
            self._shuffled[stage] = (epoch, order)
        return self._shuffled[stage][1][index]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "drawn": list(self.drawn),
            "skipped": [list(rows) for rows in self.skipped],
            "owed": self.owed,
            "turn": self.turn,
            "recent": list(self.recent),
            "rows": len(self.stage_of_row),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back `state()`; ValueError where the data has another number of rows."""
        if state["rows"] != len(self.stage_of_row):
            raise ValueError(
                f"the checkpoint was of {state['rows']} rows, the data has {len(self.stage_of_row)}"
            )
        self.drawn, self.owed, self.turn = list(state["drawn"]), state["owed"], state["turn"]
        # A checkpoint of before has none.
        self.skipped = [list(rows) for rows in state.get("skipped", [[] for _ in self.drawn])]
        self.recent = list(state.get("recent", []))


class CurriculumLoader:
    """Stands in for verl's StatefulDataLoader: endless batches of the stage that is current when each is asked for.

    It fetches in this process, since a row fetched ahead by a worker would belong to the stage of before.
    """

    def __init__(
        self,
        dataset: Any,
        order: CurriculumOrder,
        *,
        batch_size: int,
        stage: Callable[[], int],
        collate_fn: Callable[[list[Any]], dict[str, Any]],
    ) -> None:
        self._dataset, self._order, self._batch_size = dataset, order, batch_size
        self._stage, self._collate_fn = stage, collate_fn

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        indices = self._order.batch(self._batch_size, self._stage())
        return self._collate_fn([self._dataset[index] for index in indices])

    def state_dict(self) -> dict[str, Any]:
        """The place in the order."""
        return self._order.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back `state_dict()`."""
        self._order.restore(state)

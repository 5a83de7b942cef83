"""Group filtering that ends: verl's V1 sampler draws prompts until enough groups differ, however long that takes."""

from collections.abc import Callable
from typing import Any

from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from verl_coder.errors import VerlCoderError
from verl_coder.trainer.recipe_trainer import RecipeTrainer


class RefillLimit:
    """Counts the prompts that are drawn for one step; VerlCoderError above `most` (0: no limit)."""

    def __init__(self, refill: Callable[[int], int], *, first: int, most: int) -> None:
        self._refill, self._first, self._most = refill, first, most
        self.drawn = first

    def __call__(self, count: int) -> int:
        """Draw `count` more prompts."""
        if self._most and self.drawn + count > self._most:
            raise VerlCoderError(
                f"algorithm.filter_groups: {self.drawn} prompts were sampled for one step, and in too few of them the "
                f"samples differ in reward to fill a batch of {self._first} (limit: max_num_gen_batches times "
                "data.train_batch_size): raise the limit, take easier or harder problems, or turn the filter off"
            )
        self.drawn += count
        return self._refill(count)

    def next_step(self) -> None:
        """Start to count anew."""
        self.drawn = self._first


class GroupFilterMixin(RecipeTrainer):
    """Makes `algorithm.filter_groups.max_num_gen_batches` count, which V1's own sampler ignores."""

    _refill_limit: RefillLimit | None = None

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        if self.config.algorithm.filter_groups.enable:
            batch = self.config.data.train_batch_size
            most = batch * int(self.config.algorithm.filter_groups.max_num_gen_batches)
            self._refill_limit = RefillLimit(buffer.refill_fn, first=batch, most=max(most, 0))
            buffer.refill_fn = self._refill_limit
        return buffer

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> KVBatchMeta:
        """A step, with a count of its own."""
        if self._refill_limit is None:
            return super().step(metrics, timing_raw)
        self._refill_limit.next_step()
        batch = super().step(metrics, timing_raw)
        metrics["filter_groups/prompts_drawn"] = float(self._refill_limit.drawn)
        return batch

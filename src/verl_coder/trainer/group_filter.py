"""Group filtering that ends: verl's V1 sampler draws prompts until enough groups differ, however long that takes."""

from collections.abc import Callable
from typing import Any

from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from verl_coder.errors import VerlCoderError
from verl_coder.trainer.recipe_trainer import RecipeTrainer


class RefillLimit:
    """Counts the prompts that are drawn for one step, and draws no more than `most` (0: no limit), `unit` at a time."""

    def __init__(self, refill: Callable[[int], int], *, first: int, most: int, unit: int = 1) -> None:
        self._refill, self._first, self._most, self._unit = refill, first, most, unit
        self.drawn = first

    def __call__(self, count: int) -> int:
        """Draw `count` more prompts, or as many as the limit leaves."""
        if self._most:
            left = max(self._most - self.drawn, 0)
            count = min(count, left - left % self._unit)
        if count <= 0:
            return 0
        self.drawn += count
        return self._refill(count)

    def wait(self, running: int) -> None:
        """Called where the batch is short: VerlCoderError where no prompt is `running` and none may be drawn."""
        if self._most and not running and self.drawn + self._unit > self._most:
            raise VerlCoderError(
                f"algorithm.filter_groups: {self.drawn} prompts were sampled for one step, and in too few of them the "
                f"samples differ in reward to fill a batch of {self._first} (limit: max_num_gen_batches times "
                "data.train_batch_size): raise the limit, take easier or harder problems, or turn the filter off"
            )

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
            unit = int(buffer.gen_batch_size or 1)
            limit = RefillLimit(buffer.refill_fn, first=batch, most=max(most, 0), unit=unit)
            self._refill_limit = buffer.refill_fn = limit
            wait = buffer._wait_for_next_poll

            def wait_within_limit(partition_id: str, last_debug_time: float) -> float:
                # The sampler waits where its batch is short: for what is in flight, else for ever.
                if partition_id != "val":
                    limit.wait(
                        len(buffer.pending_keys[partition_id]) + len(buffer.running_keys[partition_id])
                    )
                return wait(partition_id, last_debug_time)

            buffer._wait_for_next_poll = wait_within_limit  # type: ignore[method-assign]
        return buffer

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> KVBatchMeta:
        """A step, with a count of its own."""
        if self._refill_limit is None:
            return super().step(metrics, timing_raw)
        self._refill_limit.next_step()
        batch = super().step(metrics, timing_raw)
        metrics["filter_groups/prompts_drawn"] = float(self._refill_limit.drawn)
        return batch

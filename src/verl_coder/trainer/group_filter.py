"""Group filtering that ends: verl's V1 sampler draws prompts until enough groups differ, however long that takes."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import FILTER_GROUPS_REWARD_METRIC, ReplayBuffer

from verl_coder.errors import VerlCoderError
from verl_coder.trainer.recipe_trainer import RecipeTrainer, place_of, read_columns, read_extra_fields
from verl_coder.trainer.rollout_faults import faults_of
from verl_coder.trainer.sample_masks import unavailable_rows


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


def shared_value(values: Sequence[float], no_verdict: Sequence[bool]) -> float | None:
    """What all samples of a group earned that have a verdict (0 where none has one); None where they differ.

    None, too, where each sample has one: verl has judged that group, and keeps a single sample.
    """
    if not any(no_verdict):
        return None
    known = {value for value, lacks in zip(values, no_verdict, strict=True) if not lacks}
    return None if len(known) > 1 else known.pop() if known else 0.0


def drop_groups_equal_but_for_a_verdict(buffer: ReplayBuffer) -> None:
    """verl filters groups of one value, and takes the 0 of a sample without a verdict for one that differs.

    That sample is masked and leaves its group (sample_masks.py), and the others compare nothing. It is one that the
    sandbox failed, one that is lost, and one whose reward raised or gave no number.
    """
    classify = buffer._dapo_filtered_keys

    def filtered_keys(partition_id: str) -> tuple[set[str], Counter[float]]:
        known = buffer._dapo_classification_cache[partition_id]
        seen = set(known)
        found = classify(partition_id)
        differing = {uid for uid, value in known.items() if uid not in seen and value is None}
        if not differing:
            return found
        keys = [key for key in buffer.partitions[partition_id] if place_of(key)[0] in differing]
        for uid, value in _shared_values(keys, partition_id, str(buffer.filter_groups_metric)).items():
            known[uid] = value
        shared = {uid: value for uid, value in known.items() if value is not None}
        return set(shared), Counter(shared.values())

    buffer._dapo_filtered_keys = filtered_keys  # type: ignore[method-assign]


def _shared_values(keys: list[str], partition_id: str, metric: str) -> dict[str, float | None]:
    """`shared_value` of each group of these rows."""
    batch = KVBatchMeta(keys=keys, tags=[{} for _ in keys], partition_id=partition_id)
    fields = read_extra_fields(batch)
    if metric == FILTER_GROUPS_REWARD_METRIC:
        values = [float(row.sum()) for row in read_columns(batch, "rm_scores")["rm_scores"].unbind()]
    else:
        values = [float(field["reward_extra_info"][metric]) for field in fields]
    groups: dict[str, tuple[list[float], list[bool]]] = {}
    no_verdict = unavailable_rows(fields) | np.array(
        [fault is not None for fault in faults_of(fields)], dtype=bool
    )
    for key, value, lacks in zip(keys, values, no_verdict, strict=True):
        of_group = groups.setdefault(place_of(key)[0], ([], []))
        of_group[0].append(value)
        of_group[1].append(bool(lacks))
    return {uid: shared_value(*of_group) for uid, of_group in groups.items()}


class GroupFilterMixin(RecipeTrainer):
    """Makes `algorithm.filter_groups.max_num_gen_batches` count, which V1's own sampler ignores."""

    _refill_limit: RefillLimit | None = None

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        if self.config.algorithm.filter_groups.enable:
            batch = self.config.data.train_batch_size
            most = batch * int(self.config.algorithm.filter_groups.max_num_gen_batches)
            unit = int(buffer.gen_batch_size or 1)
            drop_groups_equal_but_for_a_verdict(buffer)
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

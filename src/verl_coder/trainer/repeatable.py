"""The same seed, the same run: names of prompts, seeds of rollouts and the order of rows without the clock.

verl names prompts at random and trains on rollouts in the order in which they end. Here a prompt is named after its
step and its place, a rollout's draws follow from the run's seed and that name (platform/cpu_sampling.py), and a batch
has the order of its prompts. Asynchronous modes keep verl's names: what ends first is part of them.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from transfer_queue import KVBatchMeta
from verl.utils import tensordict_utils as tu

from verl_coder.trainer.recipe_trainer import RecipeTrainer


def prompt_names(step: int, first: int, count: int) -> list[str]:
    """Names of prompts number `first` and following of a step; they sort as the prompts do. verl allows no `_`."""
    return [f"{step:06d}-{number:06d}" for number in range(first, first + count)]


def rollout_seed(seed: int, prompt: str, sample: int) -> int:
    """The seed of one sample of a prompt's, 63 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{prompt}/{sample}".encode()).digest()[:8]) >> 1


def row_order(keys: Sequence[str]) -> list[int]:
    """Places of the keys `{prompt}_{sample}_{output}` in the order of the prompts and their samples."""

    def place(index: int) -> tuple[str, int, int]:
        prompt, sample, output = keys[index].split("_")
        return prompt, int(sample), int(output)

    return sorted(range(len(keys)), key=place)


class RepeatableMixin(RecipeTrainer):
    """Names prompts after their step and trains on them in that order."""

    _named: tuple[int, int] = (0, 0)
    """Step, and how many of its prompts have names."""

    def _fetch_one_gen_batch(self) -> Any:
        batch = super()._fetch_one_gen_batch()
        if self.trainer_mode == "sync":
            step, first = self._named
            first = first if step == self.global_steps else 0
            self._named = (self.global_steps, first + len(batch))
            tu.assign_non_tensor(batch, uid=prompt_names(self.global_steps, first, len(batch)))
        return batch

    def _balance_batch(self, batch: KVBatchMeta, *arguments: Any, **options: Any) -> KVBatchMeta:
        if self.trainer_mode == "sync":
            batch.reorder(row_order(batch.keys))
        return super()._balance_batch(batch, *arguments, **options)

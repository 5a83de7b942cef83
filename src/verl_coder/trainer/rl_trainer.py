"""What every training run adds to verl's V1 trainers, whatever their mode."""

import json
import logging
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import trainer_separate_async
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.trainer.ppo.v1.trainer_colocate_async import PPOTrainerColocateAsync
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from verl_coder.trainer.composite.update import TeacherGuidedMixin
from verl_coder.trainer.equal_groups import EqualGroupsMixin
from verl_coder.trainer.group_filter import GroupFilterMixin
from verl_coder.trainer.group_statistics import SilentSteps, group_statistics
from verl_coder.trainer.interrupted_evaluation import InterruptedEvaluationMixin
from verl_coder.trainer.phases import PhasesMixin
from verl_coder.trainer.recipe_trainer import read_columns, read_extra_fields
from verl_coder.trainer.repeatable import RepeatableMixin
from verl_coder.trainer.sample_masks import SampleMasksMixin, unavailable_rows


class CoderTrainerMixin(
    PhasesMixin,
    SampleMasksMixin,
    EqualGroupsMixin,
    TeacherGuidedMixin,
    GroupFilterMixin,
    RepeatableMixin,
    InterruptedEvaluationMixin,
):
    """Short poll, masks, three sources, group filter, curriculum, evaluation, checkpoints, statistics, phase file."""

    @cached_property
    def _silent_steps(self) -> SilentSteps:
        return SilentSteps()

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        buffer.poll_interval = self.settings.poll_interval_s
        return buffer

    @staticmethod
    def _write_generations(*arguments: Any, **options: Any) -> None:
        """verl's, but a full disk costs the file of samples and not the run."""
        try:
            PPOTrainer._write_generations(*arguments, **options)
        except OSError as error:
            print(f"warning: samples were not written ({error})", flush=True)  # in train.log

    def on_validate_begin(self) -> None:
        """Start the evaluation's clock, and name the checkpoint first."""
        self._validation_started = time.monotonic()
        self.commit_before_evaluation()
        super().on_validate_begin()

    def on_validate_end(self) -> None:
        """Add the evaluation's seconds to the run's timing file."""
        super().on_validate_end()
        path = self.run_dir.timing
        timing = json.loads(path.read_text()) if path.is_file() else {}
        spent = time.monotonic() - self._validation_started
        timing["evaluation_s"] = timing.get("evaluation_s", 0.0) + spent
        self._write_note(path, json.dumps(timing))

    # ---- statistics ---------------------------------------------------------------------------

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        extra_fields = read_extra_fields(batch)
        real = [row for row, tag in enumerate(batch.tags) if not tag.get("is_padding", False)]
        fields = [extra_fields[row] for row in real]
        metrics.update(rollout_statistics(fields))
        columns = read_columns(batch, "advantages", "response_mask", "rollout_log_probs")
        advantages = columns["advantages"].unbind()
        if "rollout_log_probs" in columns.keys():  # noqa: SIM118  (`in` a TensorDict is no question of its keys)
            drawn = [columns[name].unbind() for name in ("rollout_log_probs", "response_mask")]
            metrics |= sampled_entropy(*([rows[row] for row in real] for rows in drawn))
        groups = group_statistics(
            [batch.keys[row] for row in real],
            [bool(advantages[row].any()) for row in real],
            [
                None if unavailable else (field.get("reward_extra_info") or {}).get("acc")
                for field, unavailable in zip(fields, unavailable_rows(fields), strict=True)
            ],
        )
        metrics.update(groups)
        if not self.looks_ahead and (words := self._silent_steps.words(groups)):
            self.notices.say("no signal", words)
        if self.trainer_mode != "sync" and timing_raw.get("step"):
            metrics["training/off_policy/trainer_idle_share"] = (
                timing_raw.get("gen", 0.0) / timing_raw["step"]
            )


def sampled_entropy(
    log_probs: Sequence[torch.Tensor], response_masks: Sequence[torch.Tensor]
) -> dict[str, float]:
    """`rollout/entropy`: mean of -log p of the tokens that the policy drew, (T,) a row, in nats.

    An estimate of the entropy of what was drawn from that costs nothing, as vLLM returns these log-probabilities.
    """
    drawn = [each[mask.bool()] for each, mask in zip(log_probs, response_masks, strict=True)]
    tokens = torch.cat(drawn) if drawn else torch.empty(0)
    return {"rollout/entropy": -float(tokens.float().mean())} if len(tokens) else {}


def rollout_statistics(extra_fields: list[dict[str, Any]]) -> dict[str, float]:
    """Means over a step's samples of what the reward function and the tools reported.

    A sample without a verdict says nothing of the reward, as in an evaluation, but that it has none.
    """
    if not extra_fields:
        return {}
    infos = [field.get("reward_extra_info") or {} for field in extra_fields]
    unavailable = unavailable_rows(extra_fields)
    graded = [info for info, lacks in zip(infos, unavailable, strict=True) if not lacks]
    # A sample that failed has fewer keys than the others, and counts as 0 in all of theirs.
    keys = dict.fromkeys(key for info in infos for key, value in info.items() if _is_number(value))
    metrics = {
        f"reward/{key}/mean": float(
            np.mean([float(info[key]) if _is_number(info.get(key)) else 0.0 for info in counted])
        )
        for key in keys
        if (counted := infos if key == "sandbox_unavailable" else graded)
    }
    calls = np.array([field.get("tool_calls", 0) for field in extra_fields])
    successes = np.array([field.get("tool_successes", 0) for field in extra_fields])
    metrics["tool_calls/mean"] = float(calls.mean())
    metrics["tool_calls/rate"] = float((calls > 0).mean())
    metrics["tool_calls/success_rate"] = float(successes.sum() / max(calls.sum(), 1))
    return metrics


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


class CoderTrainerSync(CoderTrainerMixin, PPOTrainerSync):
    """verl's synchronous trainer with ours on top."""


class CoderTrainerColocateAsync(CoderTrainerMixin, PPOTrainerColocateAsync):
    """verl's colocated asynchronous trainer with ours on top."""


# verl 0.9.1 ends at one of its own INFO lines there, which `logging` does not take.
trainer_separate_async.logger.setLevel(logging.WARNING)


class CoderTrainerSeparateAsync(CoderTrainerMixin, trainer_separate_async.PPOTrainerSeparateAsync):
    """verl's trainer beside separate rollouts with ours on top."""


TRAINERS: dict[str, type[PPOTrainer]] = {
    "sync": CoderTrainerSync,
    "colocate_async": CoderTrainerColocateAsync,
    "separate_async": CoderTrainerSeparateAsync,
}
"""trainer.v1.trainer_mode -> class."""

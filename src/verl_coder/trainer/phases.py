"""Tells the launcher what the trainer is doing: phase, part, and how much of it is done."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from verl_coder.files import write_atomically
from verl_coder.run.phase import EVALUATING, TRAINING, Phase, starting
from verl_coder.trainer.recipe_trainer import RecipeTrainer

_PROGRESS_EVERY_S = 1.0


class PhasesMixin(RecipeTrainer):
    """Writes `phase.json` at every change; a full disk costs the file and not the run."""

    _phase: Phase = Phase(phase="starting")
    _told_progress: float = 0.0

    def _enter_phase(self, phase: str, step: int | None = None) -> None:
        step = getattr(self, "global_steps", 0) if step is None else step
        total = getattr(self, "total_training_steps", 0)
        self._tell(Phase(phase=phase, step=step, total=total, since=time.time()))
        self.notices.write_unwritten()

    def _enter_part(self, part: str) -> None:
        self._tell(replace(self._phase, part=part, done=0, of=0, since=time.time()))

    def _enter_start(self, part: str) -> None:
        self._tell(starting(part))

    def _tell(self, phase: Phase) -> None:
        self._phase = phase
        try:
            phase.write(self.run_dir.phase)
        except OSError as error:
            self.notices.say(
                "phase.json", f"{self.run_dir.phase} cannot be written ({error}); training goes on"
            )

    def _write_note(self, path: Path, text: str) -> None:
        """Write a small file that training can do without."""
        try:
            write_atomically(path, text)
        except OSError as error:
            self.notices.say(path.name, f"{path} cannot be written ({error}); training goes on")

    # ---- the start ----------------------------------------------------------------------------

    def _init_dataloader(self) -> None:
        self._enter_start("reading the data")
        super()._init_dataloader()

    def _init_resource_pool_mgr(self) -> None:
        self._enter_start("starting the workers")
        super()._init_resource_pool_mgr()

    def _load_checkpoint(self) -> None:
        self._enter_start("reading the checkpoint")
        super()._load_checkpoint()

    def on_init_end(self) -> None:
        """The first weight sync."""
        self._enter_start("first weight sync")
        super().on_init_end()

    # ---- a step -------------------------------------------------------------------------------

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        buffer._wait_for_next_poll = self._counting(buffer, buffer._wait_for_next_poll)  # type: ignore[method-assign, assignment]
        return buffer

    def _counting(
        self, buffer: ReplayBuffer, wait: Callable[[str, float], float]
    ) -> Callable[[str, float], float]:
        """While it waits for rollouts: how many prompts are answered, of how many."""

        def wait_and_tell(partition_id: str, last_debug_time: float) -> float:
            now = time.monotonic()
            if now - self._told_progress >= _PROGRESS_EVERY_S:
                self._told_progress = now
                done, prompts = answered(buffer, partition_id)
                of = prompts * self.config.actor_rollout_ref.rollout.n
                of = max(self.asked_answers if partition_id == "val" else of, done)
                if (done, of) != (self._phase.done, self._phase.of):
                    self._tell(replace(self._phase, done=done, of=of))
            return wait(partition_id, last_debug_time)

        return wait_and_tell

    def on_sample_begin(self) -> None:
        """Rollouts, tools and rewards."""
        if self._phase.phase == TRAINING:
            self._enter_part("generating")
        super().on_sample_begin()

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        self._enter_part("old log-probs")
        return super()._compute_old_log_prob(batch, metrics)

    def _compute_ref_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        self._enter_part("reference log-probs")
        return super()._compute_ref_log_prob(batch, metrics)

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        self._enter_part("advantages")
        return super()._compute_advantage(batch, metrics)

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        self._enter_part("updating")
        return super()._update_actor(batch, metrics)

    def on_step_end(self) -> None:
        """The weight sync of a step."""
        self._enter_part("syncing weights")
        super().on_step_end()

    def on_validate_begin(self) -> None:
        """The held-out problems."""
        self._enter_phase(EVALUATING)
        self._enter_part("answering")
        super().on_validate_begin()


def answered(buffer: ReplayBuffer, partition_id: str) -> tuple[int, int]:
    """(trajectories that have ended, prompts that are asked for) as the buffer last saw them."""
    states = (buffer.pending_keys, buffer.running_keys, buffer.finished_keys, buffer.failure_keys)
    return len(buffer.partitions[partition_id]), sum(len(keys[partition_id]) for keys in states)

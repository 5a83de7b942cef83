"""Ending on request (SIGTERM): a whole checkpoint first, then a normal end."""

import json
from typing import Any

from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils.debug import marked_timer

from verl_coder.files import write_atomically
from verl_coder.run.phase import ENDING
from verl_coder.trainer.checkpointing import CheckpointMixin


class StopRequested(Exception):
    """Raised in the trainer where it can end: nothing of the present step has changed the weights yet."""


class StopMixin(CheckpointMixin):
    """Ends when `stop_request` appears in the run's folder.

    While it waits for rollouts, the synchronous trainer gives the step up: the weights are those of the last
    finished step, and the data order is put back to where it was before this step. An evaluation is given up, too
    (see interrupted_evaluation.py). In any other phase the step is finished first. The asynchronous trainers can
    write a checkpoint only within a step, where generation rests: a request that comes after that place is met by
    the step that follows, after the evaluation if one is due.
    """

    _order_before_step: dict[str, Any] | None = None
    _given_up: bool = False
    """Whether the step is done and the evaluation after it was given up."""
    _last_step: int = -1
    """Step whose checkpoint was written, or tried, because of a request."""

    def _stop_requested(self) -> bool:
        return self.run_dir.stop_request.is_file()

    @property
    def has_begun_a_step(self) -> bool:
        """Whether a step of this start has begun (synchronous trainer)."""
        return self._order_before_step is not None

    def _build_replay_buffer(self) -> ReplayBuffer:
        buffer = super()._build_replay_buffer()
        wait = buffer._wait_for_next_poll

        def wait_or_stop(partition_id: str, last_debug_time: float) -> float:
            if self.trainer_mode == "sync" and self._stop_requested():
                raise StopRequested
            return wait(partition_id, last_debug_time)

        buffer._wait_for_next_poll = wait_or_stop  # type: ignore[method-assign]
        return buffer

    def on_step_begin(self) -> None:
        """Between two steps everything is at rest: the place to save, and to end."""
        super().on_step_begin()
        with marked_timer("save_checkpoint", self.timing_raw, color="green"):
            self.commit_written()
        if self.trainer_mode == "sync":
            self._order_before_step = self.train_dataloader.state_dict()
        if self._stop_requested() and self._can_stop_after(self.global_steps - 1):
            raise StopRequested
        self._enter_phase("training")

    def _can_stop_after(self, step: int) -> bool:
        """Whether to end here keeps all that was trained, or nothing more can be done for it."""
        return self.trainer_mode == "sync" or step in (self._saved_step, self._last_step)

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> KVBatchMeta:
        """A step; in the asynchronous modes a request is met by a checkpoint at verl's own place for one."""
        batch = super().step(metrics, timing_raw)
        if self.trainer_mode != "sync" and self._stop_requested():
            self._last_step = self.global_steps
            self.write_now()
        return batch

    def _rest_for_save(self) -> None:
        """Where states were offloaded, vLLM gives a GPU's memory back: they come to the GPU to be written."""
        states = self.config.actor_rollout_ref.actor.fsdp_config
        is_written = self.global_steps - 1 in (self._saved_step, self._written_step)
        if not is_written and (states.param_offload or states.optimizer_offload):
            self.checkpoint_manager.abort_replicas(reject_request=True)
            self.checkpoint_manager.sleep_replicas()

    def fit(self, agent_loop_manager: Any) -> None:
        """Train; on request, save and return as if training had ended."""
        try:
            super().fit(agent_loop_manager)
            if self._given_up:
                raise StopRequested  # the evaluation after the last step
        except StopRequested:
            done = self.global_steps - 1  # the present step was given up
            if self.has_begun_a_step and done:
                self._rest_for_save()
                # A step that was given up is drawn again; one whose evaluation was, is done.
                self.save_now(done, order=None if self._given_up else self._order_before_step)
            self._shutdown_dump_executor()
            write_atomically(self.run_dir.stopped, json.dumps({"step": self.run_dir.last_whole_step()}))
        else:
            self.commit_written()
        self._enter_phase(ENDING)
        self.logger.finish()  # verl leaves that to the garbage collector

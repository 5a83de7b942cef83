"""An evaluation that does not end costs itself alone: the checkpoint of its step is there before it begins.

A batch system waits seconds for a job to end, and an evaluation takes minutes. The metrics of the step wait in its
checkpoint; the next start evaluates that checkpoint first, and logs both as one step: metrics, curriculum and best
checkpoint are those of a run that was not interrupted.
"""

import copy
from typing import Any

from omegaconf import open_dict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import DAPO_FILTERED_REWARD_COUNTS_KEY

from verl_coder.run.backup import plain
from verl_coder.run.checkpoint_files import EVALUATED, WAITING, step_folder
from verl_coder.trainer.curriculum.training import CurriculumMixin
from verl_coder.trainer.rollout_dump import RolloutDumpMixin
from verl_coder.trainer.stopping import StopMixin, StopRequested
from verl_coder.trainer.tracking import RunTracking


class InterruptedEvaluationMixin(RolloutDumpMixin, CurriculumMixin, StopMixin):
    """Commits a checkpoint before the evaluation of its step, and says in it afterwards that there was one."""

    looks_ahead: bool = False
    """Whether metrics are computed that are not those which are logged."""
    _present: tuple[KVBatchMeta, dict[str, Any]] | None = None
    """Batch and metrics of the present step, which verl adds to."""
    _ahead: dict[str, Any] | None = None
    """Metrics of the step whose checkpoint is being committed before its evaluation."""
    _waiting: dict[str, Any] | None = None
    """Metrics of the checkpoint that this start began from, whose evaluation had not ended."""
    _unevaluated: int = 0
    """Step of the checkpoint that does not know its evaluation; 0: none."""
    _evaluated_step: int = -1
    _evaluated_state: str = ""
    """Our state behind that evaluation, as it was when its step ended; empty: the step has not ended."""

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> KVBatchMeta:
        """A step, whose batch and metrics are known until the next."""
        batch = super().step(metrics, timing_raw)
        self._present = (batch, metrics)
        return batch

    def commit_before_evaluation(self) -> None:
        """Make the files that this step has written, if any, the last checkpoint; its metrics wait in it."""
        step = self.global_steps
        if self._present is None or self._written_step != step:
            return
        self._ahead = self._metrics_so_far(*self._present)
        self._unevaluated, self._evaluated_state = step, ""
        self.commit_written()
        self._ahead = None
        if self._saved_step != step:
            self._unevaluated = 0

    def _metrics_so_far(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> dict[str, Any]:
        """What verl would log of the present step without an evaluation; its samples are written, too."""
        metrics, timing = dict(metrics), dict(self.timing_raw)
        counts: Any = getattr(self, "_rollout_moe_lb_metrics_accumulator", None)
        self.looks_ahead = True
        try:
            self._rollout_moe_lb_metrics_accumulator = copy.deepcopy(counts)  # verl adds to them
            epoch = (self.global_steps - 1) // self.steps_per_epoch
            self._compute_metrics(batch, metrics, timing, self.global_steps, epoch)
        finally:
            self.looks_ahead = False
            self._rollout_moe_lb_metrics_accumulator = counts
        if folder := self.config.trainer.get("rollout_data_dir", None):
            self._log_rollout_data(batch, timing, folder)
        metrics.pop(DAPO_FILTERED_REWARD_COUNTS_KEY, None)
        return {key: plain(value) for key, value in metrics.items()}

    def _validate(self) -> dict[str, Any]:
        try:
            metrics = super()._validate()
        except StopRequested:
            if not self.has_begun_a_step:
                raise  # nothing has changed since the last checkpoint
            logger: Any = self.logger  # ours, put in the place of verl's
            logger.hold_next()
            self._given_up = True
            self.notices.say(
                f"evaluation {self.global_steps} given up",
                f"the evaluation after step {self.global_steps} is given up; the same command begins with it",
                kind="note",
            )
            return {}
        if self._waiting is not None:
            metrics, self._waiting = self._waiting | metrics, None
            super().step_ended(metrics, self.global_steps)
        self._evaluated_step = self.global_steps
        return metrics

    def step_ended(self, metrics: dict[str, Any], global_steps: int) -> None:
        """A step ends after its evaluation."""
        if not self._given_up and not self.looks_ahead:
            super().step_ended(metrics, global_steps)

    def commit_written(self) -> None:
        """Also say in a checkpoint that its evaluation is done and logged, so that no resume repeats it."""
        super().commit_written()
        if not self._unevaluated or not (self._unevaluated == self._evaluated_step == self._saved_step):
            return
        # Where it cannot be written now it is tried again behind the next step, whose own state is another.
        self._evaluated_state = self._evaluated_state or self._state_text()
        try:
            path = step_folder(self.run_dir.checkpoints, self._unevaluated) / EVALUATED
            self._write_state(path, self._evaluated_state)
        except OSError as error:
            self.notices.say(
                "evaluated", f"a resume may repeat an evaluation: its end cannot be written ({error})"
            )
        else:
            self._unevaluated = 0
            self._note_best()

    def on_train_begin(self) -> None:
        """The evaluation that a resume began with is logged."""
        self.commit_written()
        super().on_train_begin()

    def on_step_begin(self) -> None:
        """What waits for an evaluation that is switched off is logged without one."""
        if self._waiting is not None:
            metrics, self._waiting = self._waiting, None
            super().step_ended(metrics, self.global_steps - 1)
            logger: Any = self.logger
            logger.log(metrics, step=self.global_steps - 1)
            self._evaluated_step = self.global_steps - 1
        super().on_step_begin()

    def _note_best(self) -> None:
        """Which one is the best follows from an evaluation that is on record."""
        if not self._unevaluated:
            super()._note_best()

    def checkpoint_state(self) -> dict[str, Any]:
        """With the metrics that wait for their evaluation."""
        logger = getattr(self, "logger", None)
        held = logger.held if self._ahead is None and isinstance(logger, RunTracking) else self._ahead
        return super().checkpoint_state() | ({} if held is None else {WAITING: held})

    def restore_state(self, state: dict[str, Any]) -> None:
        """Evaluate first where the checkpoint lacks its evaluation, unless evaluations are switched off."""
        super().restore_state(state)
        self._waiting = state.get(WAITING)
        if self._waiting is not None:
            self._unevaluated = self.global_steps
            if self.config.trainer.test_freq > 0:
                with open_dict(self.config):
                    self.config.trainer.val_before_train = True

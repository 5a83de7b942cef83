"""An evaluation that a request to end gives up: the checkpoint of its step comes at once, the evaluation later."""

from typing import Any

from omegaconf import open_dict

from verl_coder.trainer.curriculum.training import CurriculumMixin
from verl_coder.trainer.stopping import StopMixin, StopRequested
from verl_coder.trainer.tracking import RunTracking

_KEY = "metrics_without_evaluation"


class InterruptedEvaluationMixin(CurriculumMixin, StopMixin):
    """A batch system waits seconds for a job to end, and an evaluation takes minutes.

    The step's metrics wait in its checkpoint. The next start evaluates that checkpoint first, and logs both as one
    step: metrics, curriculum and best checkpoint are those of a run that was not interrupted.
    """

    _waiting: dict[str, Any] | None = None
    """Metrics of the checkpoint's step, whose evaluation was given up."""

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
        return metrics

    def step_ended(self, metrics: dict[str, Any], global_steps: int) -> None:
        """A step ends after its evaluation."""
        if not self._given_up:
            super().step_ended(metrics, global_steps)

    def checkpoint_state(self) -> dict[str, Any]:
        """With the metrics that wait for their evaluation."""
        logger = getattr(self, "logger", None)
        held = logger.held if isinstance(logger, RunTracking) else None
        return super().checkpoint_state() | ({} if held is None else {_KEY: held})

    def restore_state(self, state: dict[str, Any]) -> None:
        """Evaluate first where the checkpoint lacks its evaluation."""
        super().restore_state(state)
        self._waiting = state.get(_KEY)
        if self._waiting is not None:
            with open_dict(self.config):
                self.config.trainer.val_before_train = True

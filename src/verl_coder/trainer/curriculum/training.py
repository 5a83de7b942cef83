"""The curriculum in the trainer: its batches, its evaluations, its metrics, its part of the checkpoint."""

from collections.abc import Sequence
from typing import Any

from transfer_queue import KVBatchMeta
from verl.utils.dataset.rl_dataset import collate_fn

from verl_coder.trainer.curriculum.order import CurriculumLoader, CurriculumOrder
from verl_coder.trainer.curriculum.stages import Curriculum, check_left
from verl_coder.trainer.evaluation.evaluate import EvaluationMixin
from verl_coder.trainer.evaluation.report import Answer


class CurriculumMixin(EvaluationMixin):
    """Without a `curriculum:` section it does nothing, and verl's own loader stays."""

    curriculum: Curriculum | None = None
    _trained_stage: int = 0

    def _init_dataloader(self) -> None:
        super()._init_dataloader()
        settings = self.settings.curriculum
        if settings is None:
            return
        self.curriculum = curriculum = Curriculum(settings)
        data = self.config.data
        stages = [settings.stage_of(info) for info in self.train_dataset.dataframe["extra_info"]]
        check_left(stages, settings, data.train_batch_size)
        order = CurriculumOrder(
            stages,
            seed=int(data.get("seed") or 0),
            mix_in=settings.mix_in,
            window=int(data.train_batch_size),
        )
        self.train_dataloader = CurriculumLoader(
            self.train_dataset,
            order,
            batch_size=data.get("gen_batch_size", None) or data.train_batch_size,
            stage=lambda: curriculum.stage,
            collate_fn=collate_fn,
        )
        # A stage ends by its pass rate and not with an epoch, so the run is one epoch long.
        self.steps_per_epoch = max(self.total_training_steps, 1)

    def checkpoint_state(self) -> dict[str, Any]:
        """With the curriculum's place."""
        state = super().checkpoint_state()
        return state | {"curriculum": self.curriculum.state()} if self.curriculum else state

    def restore_state(self, state: dict[str, Any]) -> None:
        """Go on in the stage of the checkpoint."""
        super().restore_state(state)
        if self.curriculum and "curriculum" in state:
            self.curriculum.restore(state["curriculum"])
            self._trained_stage = self.curriculum.stage

    def on_step_begin(self) -> None:
        """Remember the stage that this step is drawn from."""
        super().on_step_begin()
        if self.curriculum:
            self._trained_stage = self.curriculum.stage

    def evaluated(self, greedy: Sequence[Answer], metrics: dict[str, Any]) -> None:
        """Pass rates by stage; they may end the present one."""
        super().evaluated(greedy, metrics)
        if self.curriculum is None:
            return
        passed: dict[int, list[float]] = {}
        for answer in greedy:
            stage = self.curriculum.settings.stage_of(answer.extra_info)
            if stage is not None and answer.graded:
                passed.setdefault(stage, []).append(answer.passed)
        rates = {stage: sum(values) / len(values) for stage, values in passed.items()}
        # The evaluation before training measures, and ends no stage: the stage has not been trained yet.
        if self.global_steps == 0:
            self.curriculum.rates = {self.curriculum.settings.names[i]: r for i, r in rates.items()}
            return
        done = self.curriculum.observe(self.global_steps, rates)
        if done:
            self.notices.say(f"curriculum {self.global_steps}", done, kind="note")

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        self.step_ended(metrics, global_steps)

    def step_ended(self, metrics: dict[str, Any], global_steps: int) -> None:
        """Count the step, after its evaluation, and add `curriculum/*` to its metrics."""
        if self.curriculum is None:
            return
        stuck = self.curriculum.step_done(global_steps)
        if stuck:
            self.notices.say(f"curriculum {global_steps} stuck", stuck)
        metrics |= self.curriculum.metrics(global_steps)
        metrics["curriculum/next_stage"] = metrics["curriculum/stage"]
        metrics["curriculum/stage"] = float(self._trained_stage)

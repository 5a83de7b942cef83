"""A request to end in the middle of an evaluation: the step is saved at once, and nothing differs in the end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainer.fake_trainer import FakeTrainer, verls_save
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import CURRICULUM, CurriculumSettings
from verl_coder.sections import read_section
from verl_coder.trainer.curriculum.stages import Curriculum
from verl_coder.trainer.evaluation.evaluate import EvaluationMixin
from verl_coder.trainer.interrupted_evaluation import InterruptedEvaluationMixin
from verl_coder.trainer.stopping import StopRequested
from verl_coder.trainer.tracking import RunTracking

STEPS = 6
STAGES = {
    "by": "difficulty",
    "stages": [
        {"name": "first", "values": ["easy"], "threshold": 0.5},
        {"name": "second", "values": ["medium"], "threshold": 0.9},
        {"name": "third", "values": ["hard"]},
    ],
    "evaluations": 1,
    "max_steps": 2,
    "mix_in": 0.25,
}


class Trainer(InterruptedEvaluationMixin, FakeTrainer):
    """Ours without model, workers or Ray."""


def loop(self: Trainer, _: Any) -> None:
    """verl's `fit` in short."""
    self.logger = RunTracking("project", "run", [], {"verl_coder": {"out": str(self.run_dir.path)}})
    self._load_checkpoint()
    if self.config.trainer.val_before_train:
        metrics = self._validate()
        assert metrics
        self.logger.log(metrics, step=self.global_steps)
    self.global_steps += 1
    while self.global_steps <= STEPS:
        self.on_step_begin()
        self.place += 8
        metrics = {"loss": 1 / self.global_steps} | self._validate()
        self._compute_metrics(None, metrics, {}, self.global_steps, 0)  # type: ignore[arg-type]
        self.logger.log(metrics, step=self.global_steps)
        self.global_steps += 1


def answer(self: Trainer) -> dict[str, Any]:
    """What an evaluation comes to; StopRequested where somebody asked for an end meanwhile."""
    if self._stop_requested():
        raise StopRequested
    rate = 0.3 + 0.1 * self.global_steps
    self.note_pass_rate(rate)
    assert self.curriculum
    if self.global_steps:
        self.curriculum.observe(self.global_steps, {0: rate, 1: rate, 2: rate})
    return {"eval/greedy/pass_at_1": rate}


def load(self: Trainer) -> None:
    self.global_steps = self.run_dir.checkpoint_step()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    """One start of the command in a folder; `at` asks for an end while that step is evaluated."""
    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", verls_save)
    monkeypatch.setattr(PPOTrainer, "_load_checkpoint", load)
    monkeypatch.setattr(PPOTrainer, "_compute_metrics", lambda *_: None)
    monkeypatch.setattr(PPOTrainer, "fit", loop)

    def run(out: Path, at: int | None = None) -> Trainer:
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        run_dir = RunDir(out)
        run_dir.stop_request.unlink(missing_ok=True)
        run_dir.stopped.unlink(missing_ok=True)

        def evaluate(self: Trainer) -> dict[str, Any]:
            if self.global_steps == at:
                run_dir.stop_request.touch()
            return answer(self)

        monkeypatch.setattr(EvaluationMixin, "_validate", evaluate)
        step = run_dir.checkpoint_step()
        run_dir.drop_metrics_after(step if step else -1)
        trainer = Trainer(out, eval_samples=0)
        trainer.config.trainer.val_before_train = not step
        trainer.curriculum = Curriculum(read_section(CurriculumSettings, STAGES, CURRICULUM))
        trainer.fit(None)
        if at is None:
            trainer.save_now(STEPS)
        return trainer

    return run


def outcome(trainer: Trainer) -> dict[str, Any]:
    run_dir = trainer.run_dir
    assert trainer.curriculum
    return {
        "metrics": run_dir.read_metrics(),
        "best": json.loads(run_dir.best.read_text()),
        "curriculum": trainer.curriculum.state(),
        "sent": [run_dir.backup.read(step) for step in run_dir.backup.steps()],
    }


@pytest.mark.parametrize("steps", [(0,), (2,), (3,), (STEPS,), (2, 2, 4)])
def test_the_run_ends_as_one_that_was_not_interrupted(
    steps: tuple[int, ...], start: Callable[..., Trainer], tmp_path: Path
) -> None:
    for step in steps:
        run_dir = start(tmp_path / "run", at=step).run_dir
        assert json.loads(run_dir.stopped.read_text()) == {"step": step} and run_dir.checkpoint_step() == step
        assert all(record["step"] < step for record in run_dir.read_metrics())
    assert outcome(start(tmp_path / "run")) == outcome(start(tmp_path / "whole"))

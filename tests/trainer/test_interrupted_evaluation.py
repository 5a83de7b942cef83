"""An end in the middle of an evaluation: the step is saved before it, and nothing differs in the end."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from trainer.fake_trainer import FakeTrainer, verls_save
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.run.checkpoint_files import awaits_evaluation, state_file, step_folder
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

    killed_at: tuple[int, str] | None = None
    evaluations: list[int]


def loop(self: Trainer, _: Any) -> None:
    """verl's `fit` in short."""
    self.logger = RunTracking("project", "run", [], {"verl_coder": {"out": str(self.run_dir.path)}})
    self._load_checkpoint()
    if self.config.trainer.val_before_train:
        metrics = self._validate()
        assert metrics
        self.logger.log(metrics, step=self.global_steps)
        kill(self, "logged")
    self.global_steps += 1
    self.on_train_begin()
    while self.global_steps <= STEPS:
        self.on_step_begin()
        metrics = dict[str, Any]()
        batch = self.step(metrics, {})
        if self.global_steps % 2 == 0:
            self._save_checkpoint()
        self.commit_before_evaluation()  # by on_validate_begin
        if self.config.trainer.test_freq > 0:
            metrics |= self._validate()
        self._compute_metrics(batch, metrics, {}, self.global_steps, 0)
        self.logger.log(metrics, step=self.global_steps)
        kill(self, "logged")
        self.global_steps += 1


class Killed(BaseException):
    """The end of a process, which nothing of it survives but what is on the disk."""


def kill(self: Trainer, where: str) -> None:
    """End here if the test asks for it."""
    if self.killed_at == (self.global_steps, where):
        raise Killed


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


def step(self: Trainer, metrics: dict[str, Any], _: dict[str, float]) -> object:
    """verl's, whose batch nobody reads here."""
    self.place += 8
    metrics["loss"] = 1 / self.global_steps
    return object()


def load(self: Trainer) -> None:
    self.global_steps = self.run_dir.checkpoint_step()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    """One start of the command in a folder; `at` asks for an end while that step is evaluated."""
    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", verls_save)
    monkeypatch.setattr(PPOTrainer, "_load_checkpoint", load)
    monkeypatch.setattr(PPOTrainer, "_compute_metrics", lambda *_: None)
    monkeypatch.setattr(PPOTrainer, "fit", loop)
    monkeypatch.setattr(PPOTrainer, "step", step)

    def run(
        out: Path, at: int | None = None, killed_at: tuple[int, str] | None = None, test_freq: int = 1
    ) -> Trainer:
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        run_dir = RunDir(out)
        run_dir.stop_request.unlink(missing_ok=True)
        run_dir.stopped.unlink(missing_ok=True)

        def evaluate(self: Trainer) -> dict[str, Any]:
            if self.global_steps == at:
                run_dir.stop_request.touch()
            kill(self, "evaluated")
            self.evaluations.append(self.global_steps)
            return answer(self)

        monkeypatch.setattr(EvaluationMixin, "_validate", evaluate)
        step = run_dir.checkpoint_step()
        run_dir.drop_metrics_after(step if step else -1)
        if awaits_evaluation(step_folder(run_dir.checkpoints, step)):
            run_dir.drop_metrics_of(step)  # as launch/resumable.py
        trainer = Trainer(out, eval_samples=0)
        trainer.killed_at, trainer.evaluations = killed_at, []
        trainer.config.trainer.val_before_train = not step
        trainer.config.trainer.test_freq = test_freq
        trainer.curriculum = Curriculum(read_section(CurriculumSettings, STAGES, CURRICULUM))
        with suppress(Killed):
            trainer.fit(None)
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


@pytest.mark.parametrize("where", ["evaluated", "logged"])
@pytest.mark.parametrize("steps", [(2,), (4,), (STEPS,), (2, 2, 4), (3, 4)])
def test_a_run_that_is_killed_there_ends_as_one_that_was_not(
    steps: tuple[int, ...], where: str, start: Callable[..., Trainer], tmp_path: Path
) -> None:
    for step in steps:
        run_dir = start(tmp_path / "run", killed_at=(step, where)).run_dir
        assert run_dir.checkpoint_step() == step - step % 2  # the step is there that was to be saved
    assert outcome(start(tmp_path / "run")) == outcome(start(tmp_path / "whole"))


def test_an_evaluation_that_has_ended_is_not_repeated(start: Callable[..., Trainer], tmp_path: Path) -> None:
    """Neither where the step ended undisturbed, nor where a later start evaluated the checkpoint."""
    start(tmp_path, killed_at=(3, "evaluated"))
    assert start(tmp_path, killed_at=(4, "evaluated")).evaluations == [3]
    assert start(tmp_path, killed_at=(5, "evaluated")).evaluations == [4]
    assert start(tmp_path).evaluations == [5, 6]


def test_where_its_end_cannot_be_written_it_is_tried_again_until_then_an_evaluation_is_repeated(
    start: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written then is the state of that step and not of a later one."""
    write, left = Trainer._write_state, [2]

    def full(self: Trainer, path: Path, text: str) -> None:
        if "evaluated" in path.name and left[0]:
            left[0] -= 1
            raise OSError("disk full")
        write(self, path, text)

    monkeypatch.setattr(Trainer, "_write_state", full)
    run_dir = start(tmp_path / "run", killed_at=(3, "evaluated")).run_dir
    folder = step_folder(run_dir.checkpoints, 2)
    assert left == [1] and awaits_evaluation(folder) and state_file(folder).name == "verl_coder.json"
    again = start(tmp_path / "run", killed_at=(3, "logged"))
    assert left == [0] and again.evaluations == [2, 3] and awaits_evaluation(folder) is False
    ended = start(tmp_path / "run")
    assert ended.evaluations == [3, 4, 5, 6]
    assert outcome(ended) == outcome(start(tmp_path / "whole"))


def test_an_evaluation_that_cannot_be_done_is_left_out_where_evaluations_are_switched_off(
    start: Callable[..., Trainer], tmp_path: Path
) -> None:
    """Else a run whose evaluation always fails could not go on."""
    start(tmp_path, killed_at=(4, "evaluated"))
    ended = start(tmp_path, test_freq=-1)
    records = {record["step"]: record["data"] for record in ended.run_dir.read_metrics()}
    assert ended.evaluations == [] and list(records) == [0, 1, 2, 3, 4, 5, 6]
    assert records[4]["loss"] == 1 / 4 and "eval/greedy/pass_at_1" not in records[4]

"""The trainer tells what it does, and how much of it is done."""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trainer.fake_trainer import FakeTrainer

from verl_coder.run.phase import START_PARTS, Phase, starting
from verl_coder.trainer.phases import PhasesMixin
from verl_coder.trainer.task_runner import _told


class Trainer(PhasesMixin, FakeTrainer):
    """A trainer without model, workers or Ray, which writes its phases."""

    _enter_phase = PhasesMixin._enter_phase


def buffer(*, done: int, finished: int, running: int) -> Any:
    def keys(count: int) -> dict[str, set[str]]:
        return defaultdict(set, val={str(number) for number in range(count)})

    return SimpleNamespace(
        partitions=defaultdict(dict, val={str(number): {} for number in range(done)}),
        pending_keys=keys(0),
        running_keys=keys(running),
        finished_keys=keys(finished),
        failure_keys=keys(0),
    )


def test_an_evaluation_tells_how_many_answers_are_there(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer.config.actor_rollout_ref = {"rollout": {"n": 4}}
    trainer.asked_answers = 32
    trainer._enter_phase("evaluating", 4)
    wait = trainer._counting(buffer(done=12, finished=10, running=20), lambda *_: 0.0)
    wait("val", 0.0)
    phase = Phase.read(trainer.run_dir.phase)
    assert phase is not None and (phase.phase, phase.step, phase.done, phase.of) == ("evaluating", 4, 12, 32)
    assert phase.describe() == "evaluating, step 4 of 100"


def test_parts_follow_each_other_and_a_full_disk_does_not_stop_training(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path / "gone")
    trainer.run_dir.path.mkdir()
    trainer._enter_phase("training", 2)
    trainer._enter_part("updating")
    phase = Phase.read(trainer.run_dir.phase)
    assert phase is not None and phase.key == "training: updating" and phase.since > 0
    trainer.run_dir.phase.unlink()
    trainer.run_dir.phase.mkdir()
    trainer._enter_part("syncing weights")


def test_the_start_is_counted(tmp_path: Path) -> None:
    assert [starting(part).done for part in START_PARTS] == list(range(len(START_PARTS)))
    assert starting("starting vLLM").describe() == "starting, starting vLLM (6 of 8)"


def test_verls_classes_tell_a_part_of_the_start_as_they_are_called(tmp_path: Path) -> None:
    class Verls:
        def __init__(self) -> None:
            self.made = True

        def spawn(self, names: set[str]) -> tuple[bool, set[str]]:
            return self.made, names

        @classmethod
        def create(cls, config: int) -> tuple[type, int]:
            return cls, config

    note = tmp_path / "phase.json"
    assert _told(Verls, "spawn", note, "loading the model")().spawn({"a"}) == (True, {"a"})
    phase = Phase.read(note)
    assert phase is not None and phase.part == "loading the model"
    assert _told(Verls, "create", note, "starting vLLM").create(config=3) == (Verls, 3)

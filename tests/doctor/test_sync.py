"""What two steps tell about the weights of the rollout."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_lines import parse
from doctor.conftest import Ward, find
from omegaconf import OmegaConf

from verl_coder.doctor.check import CheckResult
from verl_coder.doctor.situation import DoctorOptions, Situation
from verl_coder.doctor.sync import _OVERRIDES, DIFFERENCE, MOVED, judge
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.paths import repository_root

RECIPES = sorted(
    str(path.parent.relative_to(repository_root() / "recipes"))
    for path in (repository_root() / "recipes").glob("**/recipe.yaml")
)

FIRST = {DIFFERENCE: 4e-7, MOVED: 0.0}


def test_a_rollout_that_follows_passes() -> None:
    assert judge([FIRST, {DIFFERENCE: 4e-7, MOVED: 2e-3}]).status == "PASS"


def test_a_rollout_with_the_old_weights_fails() -> None:
    found = judge([FIRST, {DIFFERENCE: 2e-2, MOVED: 2e-3}])
    assert found.status == "FAIL" and "old weights" in found.text and "vllm_extension" in found.fix


def test_half_precision_differs_before_the_update_too() -> None:
    assert judge([{DIFFERENCE: 8e-3, MOVED: 0.0}, {DIFFERENCE: 9e-3, MOVED: 2e-3}]).status == "PASS"


def test_an_update_that_moves_nothing_tells_nothing() -> None:
    assert judge([FIRST, {DIFFERENCE: 4e-7, MOVED: 1e-7}]).status == "WARN"


def test_a_run_that_ended_early_fails() -> None:
    assert judge([FIRST]).status == "FAIL"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_two_steps_compose_with_every_recipe(recipe: str, tmp_path: Path) -> None:
    plan = make_plan(TrainRequest(recipe=recipe, out=str(tmp_path / "run"), overrides=_OVERRIDES))
    assert plan.config.trainer.total_training_steps == 2 and plan.settings.curriculum is None


Weights = Callable[..., CheckResult]


@pytest.fixture
def sync(ward: Ward) -> tuple[Weights, list[list[str]]]:
    """(the check over a run that only writes these metrics, or fails; the command lines that it was given)."""
    given: list[list[str]] = []

    def look(*steps: dict[str, float], code: int = 0, stderr: str = "", **options: Any) -> CheckResult:
        def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
            given.append(command)
            out = Path(command[command.index("--out") + 1])
            out.mkdir()
            lines = [json.dumps({"step": number, "data": data}) for number, data in enumerate(steps)]
            (out / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
            return subprocess.CompletedProcess(command, code, stdout="", stderr=stderr)

        ward.monkeypatch.setattr(subprocess, "run", run)
        with Situation(DoctorOptions(recipe="tiny_cpu", **options)) as situation:
            situation.once("the recipe's configuration", lambda: ward.plan)
            return find("weight-sync", situation)

    return look, given


BEFORE = {"val-core/acc": 0.5}
"""The record of an evaluation, which has neither number."""


def test_the_metrics_of_the_run_are_read(sync: tuple[Weights, list[list[str]]]) -> None:
    look, _ = sync
    assert look(BEFORE, FIRST, {DIFFERENCE: 4e-7, MOVED: 2e-3}).status == "PASS"
    assert "old weights" in look(BEFORE, FIRST, {DIFFERENCE: 2e-2, MOVED: 2e-3}).text
    assert look(BEFORE, FIRST).status == "FAIL"


def test_a_run_that_failed_is_told_with_its_last_line(sync: tuple[Weights, list[list[str]]]) -> None:
    found = sync[0](FIRST, {DIFFERENCE: 4e-7, MOVED: 2e-3}, code=1, stderr="much\nerror: no room\n")
    assert found.status == "FAIL" and found.text.endswith("failed: error: no room")


def test_old_weights_that_verl_cannot_load_back_are_not_looked_at(
    sync: tuple[Weights, list[list[str]]], ward: Ward
) -> None:
    look, given = sync
    for key, value in (("trainer_mode", "separate_async"), ("separate_async.parameter_sync_step", 2)):
        OmegaConf.update(ward.plan.config, f"trainer.v1.{key}", value)
    assert look().status == "SKIP" and not given


def test_the_run_is_that_of_the_knobs_for_two_steps(sync: tuple[Weights, list[list[str]]]) -> None:
    look, given = sync
    knobs = {"model": "m", "train": "t.parquet", "val": "v.parquet", "reward": "r.py", "tools": "t.yaml"}
    look(out="outputs/mine", seed=3, overrides=("data.shuffle=false", "trainer.test_freq=2"), **knobs)
    taken = parse(given[0][given[0].index("train") :])
    assert {name: taken[name] for name in knobs} == knobs and taken["seed"] == 3
    assert taken["recipe"] == "tiny_cpu" and "outputs/mine" not in str(taken["out"])
    assert taken["overrides"] == ("data.shuffle=false", "trainer.test_freq=2", *_OVERRIDES)

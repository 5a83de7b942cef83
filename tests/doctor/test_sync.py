"""What two steps tell about the weights of the rollout."""

from pathlib import Path

import pytest

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

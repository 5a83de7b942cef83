"""The composed recipe is kept as long as it would be composed the same."""

from pathlib import Path
from typing import Any

import pytest

import verl_coder.pipeline.recipe_settings as recipes
from verl_coder.launch.plan import TrainRequest
from verl_coder.paths import repository_root
from verl_coder.pipeline.recipe_settings import recipe_settings

REQUEST = TrainRequest(recipe="tiny_cpu", reward="rewards/pass_rate.py")


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[TrainRequest]:
    """The requests that were composed."""
    found: list[TrainRequest] = []

    def compose(request: TrainRequest) -> dict[str, Any]:
        found.append(request)
        return {"number": len(found)}

    monkeypatch.setattr(recipes, "_compose", compose)
    return found


def test_it_is_composed_once(composed: list[TrainRequest], tmp_path: Path) -> None:
    first = recipe_settings(REQUEST, tmp_path / "recipe.json")
    assert recipe_settings(REQUEST, tmp_path / "recipe.json") == first and len(composed) == 1


def test_another_working_folder_has_other_paths(
    composed: list[TrainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_settings(REQUEST, tmp_path / "recipe.json")
    monkeypatch.chdir(tmp_path)
    recipe_settings(REQUEST, tmp_path / "recipe.json")
    assert len(composed) == 2
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "pass_rate.py").touch()  # and takes the place of the repository's
    recipe_settings(REQUEST, tmp_path / "recipe.json")
    assert len(composed) == 3


def test_another_checkout_has_other_paths(
    composed: list[TrainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_settings(REQUEST, tmp_path / "recipe.json")
    root = repository_root()
    other = tmp_path / "checkout"
    other.mkdir()
    for name in ("recipes", "config"):
        (other / name).symlink_to(root / name)
    monkeypatch.setenv("VERL_CODER_ROOT", str(other))
    recipe_settings(REQUEST, tmp_path / "recipe.json")
    assert len(composed) == 2

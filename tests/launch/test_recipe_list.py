"""`verl-coder recipes` says what the composed configurations say, and composes none."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from verl_coder.cli import app
from verl_coder.errors import ConfigError
from verl_coder.launch.recipe import compose, file_list, find_recipe
from verl_coder.launch.recipe_list import summaries
from verl_coder.paths import recipe_names, repository_root


def test_every_recipe_has_an_aim_and_a_profile() -> None:
    found = summaries()
    assert [summary.name for summary in found] == recipe_names()
    for summary in found:
        assert len(summary.aim.split()) >= 4 and summary.profile in ("cpu", "gpu"), summary
        assert summary.model and summary.data, summary


@pytest.mark.parametrize("name", ["tiny_teacher", "qwen_lora"])
def test_it_agrees_with_hydra(name: str) -> None:
    config = compose(find_recipe(name))
    summary = next(summary for summary in summaries() if summary.name == name)
    assert summary.model == OmegaConf.select(config, "actor_rollout_ref.model.path")
    assert [summary.data] == [str(path) for path in file_list(config.data.train_files)]
    assert {"cpu": "cpu", "gpu": "cuda"}[summary.profile] == config.trainer.device


def test_it_works_away_from_the_checkout(tmp_path: Path) -> None:
    """With VERL_CODER_ROOT, or below a folder that holds the content folders; without verl."""
    for folder in ("recipes", "config"):
        shutil.copytree(repository_root() / folder, tmp_path / "copy" / folder)
    shutil.copytree(repository_root() / "src" / "verl_coder", tmp_path / "site" / "verl_coder")
    program = (
        "import sys; from verl_coder.launch.recipe_list import app\n"
        "try:\n    app(['--json'])\nfinally:\n    assert 'verl' not in sys.modules and 'hydra' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "copy" / "recipes", capture_output=True, text=True,
        env={"PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}, timeout=60,
    )  # fmt: skip
    assert [recipe["name"] for recipe in json.loads(done.stdout)] == recipe_names(), done.stderr


def test_a_torn_yaml_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes" / "mine").mkdir(parents=True)
    (tmp_path / "recipes" / "mine" / "recipe.yaml").write_text("defaults: [base\n")
    monkeypatch.setenv("VERL_CODER_ROOT", str(tmp_path))
    with pytest.raises(ConfigError, match=r"mine/recipe\.yaml: .*: mend the YAML"):
        summaries()


def test_the_command_prints_a_name_a_line() -> None:
    text = CliRunner().invoke(app, ["recipes"]).output
    assert "tiny_cpu (cpu)\n" in text and "qwen_grpo (gpu)\n" in text

"""A YAML file of verl's or ours is parsed once for all configurations, and again when it has changed."""

from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from verl_coder.launch.kept_files import kept
from verl_coder.launch.recipe import find_recipe, read_recipe


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A recipe's folder, and one with the fragment that it takes."""
    for name, text in (("recipe/main.yaml", "defaults: [kind/a, _self_]\n"), ("ours/kind/a.yaml", "x: 1\n")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "recipe", tmp_path / "ours"


def _composed(folders: tuple[Path, Path], *overrides: str) -> DictConfig:
    with initialize_config_dir(str(folders[0]), version_base=None):
        return hydra_compose("main", overrides=[f"hydra.searchpath=['{kept(folders[1])}']", *overrides])


def test_a_changed_file_is_read_again(folders: tuple[Path, Path]) -> None:
    assert _composed(folders).kind == {"x": 1}
    (folders[1] / "kind/a.yaml").write_text("x: 22\n")
    assert _composed(folders).kind == {"x": 22}


def test_a_file_that_is_gone_is_missing(folders: tuple[Path, Path]) -> None:
    _composed(folders)
    (folders[1] / "kind/a.yaml").unlink()
    with pytest.raises(MissingConfigException, match="kind/a"):
        _composed(folders)


def test_what_one_configuration_changes_no_other_sees(folders: tuple[Path, Path]) -> None:
    assert _composed(folders, "kind.x=3").kind.x == 3
    _composed(folders).kind.x = 4
    assert _composed(folders).kind == {"x": 1}


def test_a_recipe_comes_out_the_same_after_another() -> None:
    texts = []
    for name in ("tiny_cpu", "qwen_grpo", "tiny_cpu"):
        texts.append(OmegaConf.to_yaml(read_recipe(find_recipe(name))))
    assert texts[0] == texts[2] != texts[1]

"""What the trainer's README names is there."""

import re

import pytest
from omegaconf import DictConfig

from verl_coder.paths import repository_root
from verl_coder.trainer.recipe import compose, find_recipe

FOLDER = repository_root() / "src" / "verl_coder" / "trainer"
TEXT = (FOLDER / "README.md").read_text()
SECTIONS = {name: f"actor_rollout_ref.{name}" for name in ("actor", "ref", "rollout", "model")}


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """The recipe with most of the settings."""
    return compose(find_recipe("qwen_lora"))


def test_every_setting_is_a_key_of_the_composed_configuration(composed: DictConfig) -> None:
    keys = re.findall(r"`((?:actor|ref|rollout|model|algorithm|data|verl_coder)\.[\w.]+)(?:=[^`]*)?`", TEXT)
    assert len(keys) > 40
    for key in keys:
        section, _, rest = key.partition(".")
        *parents, last = rest.split(".")
        node = composed
        for name in [*SECTIONS.get(section, section).split("."), *parents]:
            node = node[name]
        assert last in node, key


def test_every_file_is_there() -> None:
    for name in re.findall(r"`([\w*]+\.py)`", TEXT):
        found = [*FOLDER.glob(name), *(repository_root() / "tests" / "trainer").glob(name)]
        assert found, name
    listed = {path.name for name in re.findall(r"`([\w*]+\.py)`", TEXT) for path in FOLDER.glob(name)}
    assert {path.name for path in FOLDER.glob("*.py")} - listed == {"__init__.py"}

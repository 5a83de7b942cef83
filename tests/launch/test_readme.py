"""What the trainer's README names is there."""

import re

import pytest
from documented_commands import documented_commands
from omegaconf import DictConfig, OmegaConf

from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.paths import repository_root

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


def test_every_override_that_the_documentation_shows_is_one(composed: DictConfig) -> None:
    shown = 0
    for command in documented_commands():
        trains = "run_scripts/run_qwen_grpo.sh" in command.words or command.words[:2] == (
            "verl-coder",
            "train",
        )
        for word in command.words if trains else ():
            if override := re.match(r"^([a-z_]+\.[\w.]+)=", word):
                assert OmegaConf.select(composed, override[1], default="no key") != "no key", command
                shown += 1
    assert shown > 5


def test_every_file_is_there() -> None:
    """The README of the trainer lists the files of all three floors of a run."""
    floors = [FOLDER.parent / name for name in ("run", "trainer", "launch")]
    files = [path for floor in floors for path in floor.rglob("*.py") if path.name != "__init__.py"]
    tests = [path for floor in floors for path in (repository_root() / "tests" / floor.name).rglob("*.py")]
    named = set(re.findall(r"`((?:\w+/)*[\w*]+\.py)`", TEXT))
    for name in named:
        assert any(path.match(name) for path in [*files, *tests]), name
    assert [path for path in files if not any(path.match(name) for name in named)] == []

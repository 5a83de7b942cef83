"""A setting that nothing reads is refused with what does what it says; verl's own code is asked whether it is read."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.unread import UNREAD, Unread, check_unread
from verl_coder.launch.recipe import compose, find_recipe, verl_tree

READERS = (
    *(
        "trainer/ppo/v1",
        "trainer/ppo/core_algos.py",
        "trainer/ppo/reward.py",
        "trainer/ppo/rollout_corr_helper.py",
    ),
    *(
        "workers/engine/fsdp",
        "workers/engine_workers.py",
        "workers/rollout",
        "workers/utils",
        "workers/reward_manager",
    ),
    *("experimental/agent_loop", "experimental/reward_loop", "checkpoint_engine", "utils/dataset"),
)
"""Of verl's files those that a run here goes through."""


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """The smallest recipe, composed once."""
    return compose(find_recipe("tiny_cpu"))


def _sources() -> str:
    spec = find_spec("verl")
    assert spec is not None and spec.submodule_search_locations
    verl = Path(next(iter(spec.submodule_search_locations)))
    places = [verl / reader for reader in READERS]
    assert all(place.exists() for place in places)
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]
    return "\n".join(file.read_text() for file in files)


def test_verls_code_of_such_a_run_does_not_name_them() -> None:
    source = _sources()
    for place, _, _ in UNREAD:
        section, _, name = place.rpartition(".")
        parent = section.rpartition(".")[2]
        pattern = (
            rf"\b{name}\b" if parent not in ("lora", "multi_turn") else rf"\b{parent}\.(get\(.)?{name}\b"
        )
        if name != "rank":  # vLLM is told of a rank there, and no adapter is made
            assert not re.search(pattern, source), place


def test_the_defaults_are_verls_and_of_the_turns_ours() -> None:
    for place, default, _ in UNREAD:
        of_verl = OmegaConf.select(verl_tree(), place)
        assert of_verl == default or place.endswith("multi_turn.enable"), place


def test_the_recipes_own_values_pass(composed: DictConfig) -> None:
    check_unread(composed)


@pytest.mark.parametrize("unread", UNREAD, ids=lambda unread: unread.place)
def test_a_value_that_would_change_nothing_is_refused(composed: DictConfig, unread: Unread) -> None:
    config = composed.copy()
    OmegaConf.update(config, unread.place, not unread.default if isinstance(unread.default, bool) else 7)
    with pytest.raises(ConfigError, match=rf"^{re.escape(unread.place)}=\S+ has no effect") as caught:
        check_unread(config)
    assert unread.instead in str(caught.value) and "\n" not in str(caught.value)

"""Recipes compose, and nothing misspelt gets through."""

import shutil
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.launch.recipe import compose, find_recipe, read_recipe
from verl_coder.paths import recipe_names, repository_root


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_only_keys_that_verl_knows(name: str) -> None:
    assert compose(find_recipe(name)).trainer.use_v1


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_begins_with_its_command_and_has_a_readme(name: str) -> None:
    folder = find_recipe(name)
    assert "run_scripts/" in (folder / "recipe.yaml").read_text().splitlines()[0]
    assert (folder / "README.md").is_file()


def test_an_override_reaches_the_configuration() -> None:
    assert compose(find_recipe("tiny_cpu"), ["data.train_batch_size=8"]).data.train_batch_size == 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.train_batch_sise=8",
            r"no setting data\.train_batch_sise; did you mean data\.train_batch_size",
        ),
        ("verl_coder.losses.x=1", "no setting verl_coder.losses.x; there are alpha, beta, gamma under"),
    ],
)
def test_a_misspelt_override_is_refused_with_the_right_one(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(find_recipe("tiny_cpu"), [override])


def test_a_misspelt_key_in_a_recipe_is_refused_with_the_right_one(tmp_path: Path) -> None:
    text = (repository_root() / "recipes/ablation/recipe.yaml").read_text()
    assert "train_batch_size" in text
    folder = tmp_path / "typo"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(text.replace("train_batch_size", "train_batch_sise"))
    with pytest.raises(ConfigError, match=r"data\.train_batch_sise; did you mean data\.train_batch_size"):
        compose(folder)


def test_a_recipe_may_stand_anywhere(tmp_path: Path) -> None:
    shutil.copytree(repository_root() / "recipes/tiny_cpu", tmp_path / "mine")
    assert find_recipe(str(tmp_path / "mine")) == tmp_path / "mine"


def test_an_unknown_recipe_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match="tiny_cpu"):
        find_recipe("no_such_recipe")


@pytest.mark.parametrize(
    "override",
    [
        "trainer=5",
        "~trainer",
        "verl_coder=null",
        "actor_rollout_ref=null",
        "actor_rollout_ref.model=null",
        "actor_rollout_ref.rollout.multi_turn=5",
        "reward.custom_reward_function=null",
        "ray_kwargs.ray_init=null",
        "actor_rollout_ref.rollout.engine_kwargs.vllm=5",
        "data.apply_chat_template_kwargs=5",
        "algorithm.filter_groups=null",
    ],
)
def test_a_section_that_is_none_any_more_is_named(override: str) -> None:
    key = override.lstrip("~").partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^{key}.*it is a section, set its keys") as caught:
        compose(find_recipe("tiny_cpu"), [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["data=null", "=5", "trainer", "trainer.save_freq=[", "mode=nothing"])
def test_an_override_that_hydra_cannot_read_is_one_line(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(find_recipe("tiny_cpu"), [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        "",
        "- a\n",
        "{recipe}trainer:\n\tsave_freq: 5\n",
        "{recipe}trainer:\n  save_freq: 5\n  save_freq: 6\n",
        "{recipe}trainer: null\n",
        "{recipe}trainer: [1]\n",
        "{recipe}# \xff\n",
        "trainer:\n  save_freq: 5\n",
    ],
)
def test_a_recipe_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    recipe = (repository_root() / "recipes/tiny_cpu/recipe.yaml").read_text()
    (tmp_path / "recipe.yaml").write_bytes(text.replace("{recipe}", recipe).encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        compose(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_empty_number_of_gpus_is_none_and_one_that_is_no_number_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for value, gpus in (("", 8), (" ", 8), ("4 ", 4), ("2", 2)):
        monkeypatch.setenv("N_GPUS", value)
        assert read_recipe(find_recipe("qwen_grpo")).trainer.n_gpus_per_node == gpus
    for value in ("8,", "abc", "2.0", "-1"):
        monkeypatch.setenv("N_GPUS", value)
        with pytest.raises(ConfigError, match=rf"N_GPUS={value}: use a whole number"):
            read_recipe(find_recipe("qwen_grpo"))

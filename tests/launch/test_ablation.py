"""The ablation's table says what the runs measured, with an interval over seeds."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.ablation import (
    choose_arms,
    collect,
    markdown_table,
    mean_and_interval,
    read_arms,
    run_folder,
    table_rows,
)
from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.run.settings import LossWeights
from verl_coder.sections import read_section


def _finish(out: Path, arm: str, seed: int, after: float | None) -> None:
    folder = run_folder(out, arm, seed)
    folder.mkdir(parents=True)
    summary = {
        "seed": seed,
        "pass_at_1": {"before": 0.7, "after": after},
        "tool_calls_per_problem": {"before": 0.0, "after": 1.0},
        "step_s": 4.0,
    }
    (folder / "summary.json").write_text(json.dumps(summary))


def test_the_table_has_the_base_and_every_finished_arm(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, 0.70)
    _finish(tmp_path, "grpo", 1, 0.72)
    _finish(tmp_path, "all", 0, 0.9)
    run_folder(tmp_path, "all", 1).mkdir()
    text = markdown_table(table_rows(collect(tmp_path, ["grpo", "grpo_self", "all"])))
    assert "| base | 2 | 0.700 ± 0.000 | - | - |" in text
    assert "| grpo | 2 | 0.710 ± 0.127 | 1.00 ± 0.00 | 4.0 ± 0.0 |" in text
    assert "| all | 1 | 0.900 | 1.00 | 4.0 |" in text
    assert "grpo_self" not in text


def test_a_run_that_was_not_evaluated_is_named(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo", 0, None)
    with pytest.raises(ConfigError, match=r"grpo-seed0/summary\.json: the run was not evaluated"):
        collect(tmp_path, ["grpo"])


def test_an_arm_whose_name_begins_like_another_is_not_counted_as_it(tmp_path: Path) -> None:
    _finish(tmp_path, "grpo_self", 0, 0.8)
    assert collect(tmp_path, ["grpo"]) == []


def test_the_interval_is_students() -> None:
    center, half = mean_and_interval([1.0, 2.0, 3.0])
    assert center == 2.0 and half == pytest.approx(4.303 / 3**0.5, abs=1e-3)
    assert mean_and_interval([0.5]) == (0.5, None)


def test_every_arm_of_the_recipe_composes() -> None:
    folder = find_recipe("ablation")
    arms = read_arms(folder)
    assert set(arms) == {"sft", "grpo", "grpo_teacher", "grpo_self", "all"}
    section = OmegaConf.to_container(compose(folder, arms["all"]).verl_coder.losses)
    assert isinstance(section, dict)
    losses = read_section(LossWeights, section, "verl_coder.losses")
    assert losses.beta.value(1) > 0 and losses.gamma.value(1) > 0


def test_an_unknown_arm_is_named() -> None:
    with pytest.raises(ConfigError, match="no arm 'grpoo': there are grpo"):
        choose_arms({"grpo": ()}, ["grpoo"])


@pytest.mark.parametrize(
    ("text", "message"), [("", "a mapping"), ("a: 3", "a is 3"), ("a: [", "arms.yaml: ")]
)
def test_a_wrong_file_of_arms_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "arms.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_arms(tmp_path)

"""The doctor looks at the run that the variables of the scripts and of compose describe."""

import re
from typing import Any

import pytest
from command_lines import parse
from typer.testing import CliRunner

from verl_coder.cli import app
from verl_coder.doctor.situation import KNOBS, DoctorOptions, Situation
from verl_coder.errors import ConfigError
from verl_coder.paths import repository_root

GIVEN = {
    "RECIPE": "qwen_lora",
    "MODEL": "src/verl_coder/tiny/base",
    "TRAIN": "a.parquet,b c.parquet",
    "VAL": "v.parquet",
    "REWARD": "rewards/binary.py",
    "LOSS": "losses/clipped.py",
    "TOOLS": "tool_config/python_interpreter.yaml",
    "OUT": "outputs/knobs",
    "SEED": "3",
}


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[DoctorOptions]:
    """Those that the command was understood to have; nothing is looked at, and no variable is set."""
    seen: list[DoctorOptions] = []

    def report(found: DoctorOptions, **_: Any) -> int:
        seen.append(found)
        return 0

    monkeypatch.setattr("verl_coder.doctor.terminal.report", report)
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROFILE", "cpu")
    return seen


def test_the_doctor_has_the_options_of_train() -> None:
    of_train = set(parse(["train", "--recipe", "r"])) - {"recipe", "overrides", "new_wandb_run", "dry_run"}
    assert of_train == set(KNOBS) <= set(parse(["doctor"]))


def test_the_variables_of_the_script_are_these_knobs() -> None:
    script = (repository_root() / "run_scripts" / "run_qwen_grpo.sh").read_text()
    of_script = {name.lower() for name in re.findall(r"^([A-Z]+)=", script, re.M)}
    assert of_script - {"profile"} == {*KNOBS, "recipe"} == {name.lower() for name in GIVEN}


def test_variables_are_the_knobs_where_no_option_is_given(
    options: list[DoctorOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 0
    assert {name: str(getattr(options[0], name.lower())) for name in GIVEN} == GIVEN
    assert options[0].loads_model is False
    CliRunner().invoke(
        app, ["doctor", "--recipe", "tiny_cpu", "--train", "x", "--train", "y", "--model", "m"]
    )
    assert (options[1].recipe, options[1].train, options[1].val) == ("tiny_cpu", "x,y", "v.parquet")
    assert options[1].model == "m" and options[1].loads_model


def test_empty_variables_are_none(options: list[DoctorOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GIVEN:
        monkeypatch.setenv(name, "")
    CliRunner().invoke(app, ["doctor"])
    assert options == [DoctorOptions()]


def test_a_seed_that_is_no_number_is_refused(
    options: list[DoctorOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEED", "one")
    assert isinstance(CliRunner().invoke(app, ["doctor"]).exception, ConfigError)


def test_the_plan_is_that_of_the_knobs() -> None:
    knobs: dict[str, Any] = {name.lower(): value for name, value in GIVEN.items()}
    with Situation(DoctorOptions(**{**knobs, "recipe": "tiny_cpu", "seed": 3})) as situation:
        config = situation.config
    assert [path.rpartition("/")[2] for path in config.data.train_files] == ["a.parquet", "b c.parquet"]
    assert [path.rpartition("/")[2] for path in config.data.val_files] == ["v.parquet"]
    assert config.reward.custom_reward_function.path.endswith(GIVEN["REWARD"])
    assert config.verl_coder.policy_loss.path.endswith(GIVEN["LOSS"])
    assert config.actor_rollout_ref.rollout.multi_turn.tool_config_path.endswith(GIVEN["TOOLS"])
    assert config.verl_coder.seed == 3 and config.verl_coder.out.endswith(GIVEN["OUT"])


def test_data_that_a_variable_names_and_nothing_makes_is_a_failure(
    options: list[DoctorOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PROFILE", "cpu")
    monkeypatch.setenv("RECIPE", "qwen_lora")
    monkeypatch.setenv("TRAIN", "data/nope.parquet")
    result = CliRunner().invoke(app, ["doctor", "--component", "data"])
    assert result.exit_code == 1
    assert "FAIL  data-files" in result.output and "data/nope.parquet" in result.output

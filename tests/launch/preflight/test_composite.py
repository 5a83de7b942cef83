"""What is wrong with the three-source update is found before Ray starts, in one line."""

import copy
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.launch.preflight.composite import check_composite
from verl_coder.launch.preflight.grpo import check_lora
from verl_coder.run.settings import CompositeSettings
from verl_coder.sections import read_section


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The smallest recipe with a teacher, composed once."""
    return make_plan(TrainRequest(recipe="tiny_teacher", out=str(tmp_path_factory.mktemp("out") / "run")))


def _check_traces(plan: Plan, path: Path, rows: int = 32) -> None:
    settings = read_section(
        CompositeSettings,
        {"losses": {"beta": 0.3}, "teacher": {"traces": str(path), "rows": rows}},
        "verl_coder",
    )
    check_composite(plan.config, settings)


def _lora(plan: Plan, **model: Any) -> DictConfig:
    """The plan's configuration with LoRA of rank 4 and the given settings of the model."""
    config = copy.deepcopy(plan.config)
    config.actor_rollout_ref.model.update({"lora_rank": 4, **model})
    return config


def test_teacher_rows_must_fill_the_micro_batches(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.rows is 30.*multiple of 32"):
        _check_traces(plan, tmp_path / "any.parquet", rows=30)


def test_a_missing_traces_file_is_named(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.parquet: no such file"):
        _check_traces(plan, tmp_path / "nowhere.parquet")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"target_modules": ["q_proj", "w_proj"]}, "'w_proj'.*it has .*q_proj"),
        ({"target_modules": ".*query.*"}, "query"),
        ({"target_modules": []}, "is empty"),
        ({"lora_alpha": 0}, "lora_alpha=0"),
        (
            {"lora_rank": 1024, "lora": {"merge": False}},
            "lora_rank=1024: vLLM serves adapters of rank 512 or less",
        ),
    ],
)
def test_lora_targets_that_the_model_lacks_and_ranks_that_nobody_serves_are_named(
    plan: Plan, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_lora(_lora(plan, **model))


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"], ".*mlp.*"])
def test_lora_targets_of_the_model_are_accepted(plan: Plan, targets: Any) -> None:
    check_lora(_lora(plan, target_modules=targets))

"""What an evaluation takes from the configuration of a run."""

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.evaluation import run_config
from verl_coder.evaluation.run_config import number_format


def run_with(dtype: str) -> DictConfig:
    """The part of a run's configuration that says how its rollouts are numbers."""
    return OmegaConf.create({"actor_rollout_ref": {"rollout": {"dtype": dtype}}})


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_model_is_evaluated_in_the_numbers_of_its_run(
    multiplies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_config, "multiplies_bfloat16", lambda: multiplies)
    assert number_format("auto", run_with("float32")) == "float32"
    assert number_format("auto", run_with("bfloat16")) == "bfloat16"
    assert number_format("float16", run_with("float32")) == "float16"


def test_without_a_run_the_processor_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for multiplies, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(run_config, "multiplies_bfloat16", lambda answer=multiplies: answer)
        assert number_format("auto", None) == expected
        assert number_format("auto", run_with("auto")) == expected
    monkeypatch.setattr(run_config, "cpu_platform_selected", lambda: False)
    assert number_format("auto", None) == "bfloat16"

"""Options of GRPO that would not do what they say are refused, each in one line that names the fix."""

from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.grpo import check_grpo
from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.run.settings import CompositeSettings
from verl_coder.sections import read_section

ACTOR, FILTER = "actor_rollout_ref.actor", "algorithm.filter_groups"


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """The smallest recipe, composed once."""
    return compose(find_recipe("tiny_cpu"))


def _check(config: DictConfig, options: dict[str, Any], settings: CompositeSettings | None = None) -> None:
    copy = config.copy()
    for key, value in options.items():
        OmegaConf.update(copy, key, value)
    check_grpo(copy, settings or CompositeSettings())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({f"{ACTOR}.loss_agg_mode": "mean"}, "loss_agg_mode=mean: choose one of seq-mean"),
        ({f"{ACTOR}.loss_agg_mode": "seq-mean-token-sum-norm"}, r"needs .*loss_scale_factor"),
        ({f"{ACTOR}.clip_ratio": 0.3}, "set those two"),
        ({f"{ACTOR}.kl_loss_type": "k4"}, "kl_loss_type=k4"),
        ({f"{ACTOR}.clip_ratio_c": 0.5}, "clip_ratio_c=0.5: use a number above 1"),
        ({f"{ACTOR}.policy_loss.loss_mode": "foo"}, "loss_mode=foo: choose one of .*gspo"),
        ({f"{ACTOR}.policy_loss.loss_mode": "gspoo"}, "loss_mode=gspoo: did you mean gspo"),
        ({f"{FILTER}.enable": True, f"{FILTER}.metric": None}, r"needs algorithm\.filter_groups\.metric"),
    ],
)
def test_an_option_without_effect_is_refused(
    composed: DictConfig, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        _check(composed, options)
    assert "\n" not in str(error.value)


def test_the_group_filter_and_the_gate_on_unsolved_prompts_exclude_each_other(composed: DictConfig) -> None:
    gated = read_section(
        CompositeSettings,
        {"losses": {"beta": 0.3}, "teacher": {"traces": "t.parquet", "max_group_pass_rate": 0}},
        "verl_coder",
    )
    with pytest.raises(ConfigError, match="use one of the two"):
        _check(composed, {f"{FILTER}.enable": True}, gated)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {f"{ACTOR}.clip_ratio_low": 0.2, f"{ACTOR}.clip_ratio_high": 0.28},
        {f"{ACTOR}.loss_agg_mode": "seq-mean-token-sum-norm", f"{ACTOR}.loss_scale_factor": 352},
        {f"{ACTOR}.kl_loss_type": "low_var_kl+"},
        {f"{ACTOR}.policy_loss.loss_mode": "cispo"},
        {f"{ACTOR}.policy_loss.loss_mode": "mine", "actor_rollout_ref.model.external_lib": "os"},
        {f"{FILTER}.enable": True, f"{FILTER}.metric": "acc"},
    ],
)
def test_options_that_work_are_accepted(composed: DictConfig, options: dict[str, Any]) -> None:
    _check(composed, options)

"""Rollout correction: an option that verl would ignore, or refuse after the first rollouts, is refused in one line."""

import contextlib
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from verl.trainer.ppo.rollout_corr_helper import _parse_rollout_is_threshold, _parse_rollout_rs_thresholds

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.correction import check_correction
from verl_coder.launch.preflight.values import check_values
from verl_coder.launch.recipe import compose, find_recipe

PLACE = "algorithm.rollout_correction"


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """The smallest recipe with log-probabilities of the trainer's own, composed once."""
    return compose(find_recipe("tiny_cpu"), [f"{PLACE}.bypass_mode=false"])


def _check(config: DictConfig, **options: Any) -> None:
    copy = config.copy()
    for key, value in options.items():
        place = f"actor_rollout_ref.rollout.{key}" if key == "calculate_log_probs" else f"{PLACE}.{key}"
        OmegaConf.update(copy, place, value)
    check_correction(copy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rollout_is": "tokens"}, "use token, sequence or null"),
        ({"rollout_rs": "token_k1"}, "needs .*rollout_rs_threshold"),
        ({"rollout_rs": "tokenn", "rollout_rs_threshold": 2}, "rollout_rs=tokenn: did you mean token_k"),
        ({"rollout_rs": "token_k1,", "rollout_rs_threshold": 2}, "choose one of .*token_k1"),
        ({"rollout_is": "token", "bypass_mode": True}, "bypass_mode off"),
        ({"bypass_mode": True, "loss_type": "reinforce"}, "only ppo_clip"),
        ({"rollout_is": "token", "calculate_log_probs": False}, "calculate_log_probs"),
        ({"rollout_rs": "token_k1,seq_max_k2", "rollout_rs_threshold": "2,3,4"}, "3 thresholds for"),
    ],
)
def test_an_option_without_effect_is_refused(
    composed: DictConfig, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        _check(composed, **options)
    assert "\n" not in str(error.value)


WEIGHTS = (
    2.0,
    1,
    "2",
    "0.5_2.0",
    "0.5_2",
    0,
    -1,
    "abc",
    "",
    "2_0.5",
    "1_1",
    "0_2",
    True,
    "inf",
    "nan",
)


@pytest.mark.parametrize("threshold", WEIGHTS)
def test_a_threshold_of_weights_passes_where_verl_takes_it_and_it_keeps_something(
    composed: DictConfig, threshold: Any
) -> None:
    kept: tuple[float, ...] = ()
    with contextlib.suppress(ValueError, TypeError):
        kept = tuple(bound for bound in reversed(_parse_rollout_is_threshold(threshold)) if bound is not None)
    if kept and max(kept) < float("inf") and len({*kept}) == len(kept):
        _check(composed, rollout_is="token", rollout_is_threshold=threshold)
        return
    with pytest.raises(ConfigError, match=f"rollout_is_threshold={threshold}: use a number above 0"):
        _check(composed, rollout_is="token", rollout_is_threshold=threshold)


@pytest.mark.parametrize("option", ["token_k1", "seq_max_k2"])
@pytest.mark.parametrize("threshold", [2, 0.5, "0.5_2.0", "abc", 0, "2_0.5", "0.5", "3"])
def test_a_threshold_of_rejection_passes_where_verl_takes_it(
    composed: DictConfig, option: str, threshold: Any
) -> None:
    try:
        _parse_rollout_rs_thresholds([option], threshold)
    except (ValueError, ZeroDivisionError):
        with pytest.raises(ConfigError, match=f"rollout_rs_threshold={threshold}: for {option} use a number"):
            _check(composed, rollout_rs=option, rollout_rs_threshold=threshold)
        return
    _check(composed, rollout_rs=option, rollout_rs_threshold=threshold)


@pytest.mark.parametrize("given", ["0.5_2.0", "0.5_2", '"0.5_2.0"'])
def test_both_bounds_are_taken_from_the_command_line(tmp_path: Any, given: str) -> None:
    """Hydra would read 0.5_2 as 0.52, and verl's YAML has a number there."""
    overrides = (
        f"{PLACE}.bypass_mode=false",
        f"{PLACE}.rollout_is=token",
        f"{PLACE}.rollout_is_threshold={given}",
    )
    config = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "out"), overrides=overrides)).config
    check_values(config)
    check_correction(config)
    assert config.algorithm.rollout_correction.rollout_is_threshold == given.strip('"')


def test_one_threshold_counts_for_all_options(composed: DictConfig) -> None:
    _check(composed, rollout_rs="token_k1,seq_max_k2", rollout_rs_threshold=2)
    _check(composed, rollout_rs="token_k1,seq_max_k2", rollout_rs_threshold="0.5_2.0,3")


def test_bypassing_alone_passes(composed: DictConfig) -> None:
    _check(composed, bypass_mode=True)

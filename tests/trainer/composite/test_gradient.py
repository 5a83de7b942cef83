"""Where a row may be left out of an update: the loss has nothing but multiples of the columns that are named."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.run.settings import Settings, parse_settings
from verl_coder.trainer.composite.gradient import count_computed_tokens, gradient_fields

ACTOR = "actor_rollout_ref.actor"


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    out: Path = tmp_path_factory.mktemp("out")
    return make_plan(TrainRequest(recipe="coder_0.5b_cpu", out=str(out))).config


def _settings(config: DictConfig) -> Settings:
    return parse_settings(config.verl_coder)


def test_the_recipe_of_a_real_model_skips_by_its_advantages(composed: DictConfig) -> None:
    assert gradient_fields(composed, _settings(composed)) == "advantages"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (f"{ACTOR}.use_kl_loss", True),
        (f"{ACTOR}.entropy_coeff", 0.01),
        (f"{ACTOR}.calculate_entropy", True),
        (f"{ACTOR}.policy_loss.loss_mode", "kl_cov"),
        (f"{ACTOR}.use_dynamic_bsz", False),
        ("verl_coder.skip_rows_without_gradient", False),
    ],
)
def test_every_row_is_computed_where_another_term_has_a_gradient(
    composed: DictConfig, key: str, value: object
) -> None:
    config = composed.copy()
    OmegaConf.update(config, key, value)
    assert gradient_fields(config, _settings(config)) == ""


@pytest.mark.parametrize(
    ("promise", "fields"), [("ROWS_WITHOUT_ADVANTAGE_HAVE_NO_GRADIENT = True", "advantages"), ("", "")]
)
def test_a_loss_of_ones_own_skips_rows_where_it_says_that_it_may(
    composed: DictConfig, tmp_path: Path, promise: str, fields: str
) -> None:
    (tmp_path / "mine.py").write_text(promise)
    config = composed.copy()
    OmegaConf.update(config, "verl_coder.policy_loss.path", str(tmp_path / "mine.py"), force_add=True)
    assert gradient_fields(config, _settings(config)) == fields


def test_the_supervised_sources_count_too(composed: DictConfig) -> None:
    config = composed.copy()
    OmegaConf.update(config, "verl_coder.losses.gamma", 0.1, force_add=True)
    assert gradient_fields(config, _settings(config)) == "advantages,sft_teacher_weights,sft_self_weights"


def test_the_utilisation_is_that_of_the_tokens_that_were_computed() -> None:
    metrics = {"perf/mfu/actor": 0.5, "actor/computed_token_share": 0.1}
    count_computed_tokens(metrics)
    assert metrics["perf/mfu/actor"] == pytest.approx(0.05)


def test_the_utilisation_stays_where_no_share_is_reported() -> None:
    metrics = {"perf/mfu/actor": 0.5}
    count_computed_tokens(metrics)
    assert metrics == {"perf/mfu/actor": 0.5}

"""Passes that are too small for the longest row, or that rows do not fill, are refused before a worker finds out."""

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.passes import check_passes
from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.paths import recipe_names

ACTOR, ROLLOUT, REF = (f"actor_rollout_ref.{part}" for part in ("actor", "rollout", "ref"))
DYNAMIC = (f"{ACTOR}.use_dynamic_bsz=true",)


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """The smallest recipe, whose longest row is 448 tokens; its interpolations are open."""
    return compose(find_recipe("tiny_cpu"))


def _check(config: DictConfig, *overrides: str) -> None:
    merged = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(merged, DictConfig)
    check_passes(merged)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_passes(recipe: str) -> None:
    check_passes(compose(find_recipe(recipe)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            (f"{ACTOR}.ppo_max_token_len_per_gpu=447", *DYNAMIC),
            "ppo_max_token.*=447 is below .* = 448: use 448",
        ),
        (
            (
                f"{ACTOR}.ppo_max_token_len_per_gpu=448",
                f"{ROLLOUT}.log_prob_max_token_len_per_gpu=100",
                *DYNAMIC,
            ),
            "rollout.log_prob_max_token_len_per_gpu=100 is below",
        ),
        (
            (f"{ACTOR}.ppo_max_token_len_per_gpu=448", f"{REF}.log_prob_max_token_len_per_gpu=100", *DYNAMIC),
            "ref.log_prob_max_token_len_per_gpu=100 is below",
        ),
        (
            (
                f"{ACTOR}.ppo_max_token_len_per_gpu=200",
                f"{ACTOR}.fsdp_config.ulysses_sequence_parallel_size=2",
                *DYNAMIC,
            ),
            "=200 times 2 workers that share a row is below .*: use 224",
        ),
        ((f"{ACTOR}.ppo_max_token_len_per_gpu=null", *DYNAMIC), "=null is below"),
        ((f"{ROLLOUT}.log_prob_use_dynamic_bsz=true",), "verl takes both or none"),
        ((f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu=null",), "=null: give the rows of a pass"),
        ((f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu=48",), "no multiple of it"),
    ],
)
def test_a_pass_that_cannot_work_is_refused(
    composed: DictConfig, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        _check(composed, *overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        (f"{ACTOR}.ppo_max_token_len_per_gpu=448", *DYNAMIC),
        (f"{ACTOR}.ppo_max_token_len_per_gpu=224", f"{ACTOR}.ulysses_sequence_parallel_size=2", *DYNAMIC),
        (f"{ACTOR}.ppo_max_token_len_per_gpu=100",),
        (f"{REF}.log_prob_micro_batch_size_per_gpu=null", f"{ACTOR}.use_kl_loss=false"),
    ],
)
def test_what_no_pass_is_too_small_for_is_accepted(composed: DictConfig, overrides: tuple[str, ...]) -> None:
    _check(composed, *overrides)

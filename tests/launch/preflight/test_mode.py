"""Asynchronous modes: one setting each, and what they do not go with is refused in one line."""

from pathlib import Path

import pytest
from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.mode import check_mode
from verl_coder.launch.preflight.settings import check_settings
from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.paths import repository_root


def _composed(*overrides: str) -> DictConfig:
    return compose(find_recipe("tiny_cpu"), overrides)


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "separate_async"])
def test_a_mode_is_one_setting(mode: str) -> None:
    config = _composed(f"mode={mode}")
    check_mode(config)
    assert config.trainer.v1.trainer_mode == mode
    separate = mode == "separate_async"
    assert config.actor_rollout_ref.hybrid_engine is not separate
    assert config.actor_rollout_ref.rollout.checkpoint_engine.backend == ("files" if separate else "naive")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("mode=separate_async", "data.train_batch_size=32"),
            "data.train_batch_size=32: separate_async needs",
        ),
        (("trainer.v1.trainer_mode=separate_async",), "mode=separate_async sets all of them"),
        (("mode=separate_async", "actor_rollout_ref.rollout.n_gpus_per_node=0"), "devices for generation"),
        (("actor_rollout_ref.hybrid_engine=false",), "on the trainer's devices"),
        (("mode=colocate_async", "trainer.v1.sampler.max_off_policy_threshold=null"), "however old they are"),
        *(
            (
                (f"mode={mode}", f"trainer.v1.sampler.max_off_policy_threshold={value}"),
                f"threshold={value}: use a",
            )
            for mode, value in (("sync", 0), ("colocate_async", -1), ("separate_async", "foo"))
        ),
        (
            (
                "mode=separate_async",
                "actor_rollout_ref.model.lora_rank=8",
                "actor_rollout_ref.model.lora.merge=false",
            ),
            "lora.merge=true",
        ),
    ],
)
def test_what_a_mode_does_not_go_with_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_mode(_composed(*overrides))


TWO_UPDATES = (
    "mode=separate_async",
    "trainer.v1.separate_async.parameter_sync_step=2",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "data.train_batch_size=4",
    "algorithm.rollout_correction.bypass_mode=false",
)
ON_GPU = "trainer.device=cuda"


@pytest.mark.parametrize(
    "place",
    [
        (),
        (ON_GPU, "actor_rollout_ref.actor.fsdp_config.param_offload=true"),
        (ON_GPU, "actor_rollout_ref.actor.fsdp_config.offload_policy=true"),
    ],
)
def test_old_weights_are_not_loaded_back_into_parameters_on_the_cpu(place: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="bypass_mode=true"):
        check_mode(_composed(*TWO_UPDATES, *place))


@pytest.mark.parametrize("change", [ON_GPU, "algorithm.rollout_correction.bypass_mode=true"])
def test_several_updates_pass_where_no_alias_is_loaded_back(change: str) -> None:
    check_mode(_composed(*TWO_UPDATES, change))


CHOICES = [
    f"{group}={file.stem}"
    for group in ("mode", "cpu_numbers")
    for file in sorted((repository_root() / "config" / group).glob("*.yaml"))
]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_of_a_group_passes_the_checks_of_settings(choice: str, tmp_path: Path) -> None:
    plan = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path), overrides=(choice,)))
    check_settings(plan.config, plan.settings, plan.run_dir)

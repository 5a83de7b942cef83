"""A value of the wrong kind, or out of its range, is refused in one line that names its key."""

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.values import check_values

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """The smallest recipe, planned once."""
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out")))).config


def test_the_recipes_own_values_pass(config: DictConfig) -> None:
    check_values(config)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (f"{ACTOR}.ppo_mini_batch_size=0", "use a whole number of 1 or more"),
        ("trainer.save_freq=null", "use a whole number, -1 for never"),
        ("data.train_batch_size=many", "use a whole number of 1 or more"),
        ("data.max_prompt_length=null", "use a whole number of 1 or more"),
        (f"{ACTOR}.optim.clip_grad=x", "use a number"),
        (f"{ACTOR}.fsdp_config.param_offload=perhaps", "use true or false"),
        ("algorithm.adv_estimator=grp", "did you mean grpo"),
        (f"{ROLLOUT}.multi_turn.format=qwen", "choose one of .*hermes|did you mean"),
        (f"{ROLLOUT}.temperature=0", "use a number above 0"),
        (f"{ROLLOUT}.temperature=null", "use a number above 0"),
        (f"{ROLLOUT}.temperature=.nan", "use a number above 0"),
        (f"{ROLLOUT}.val_kwargs.temperature=-1", "use a number of 0 or more"),
        ("trainer.v1.sampler.max_off_policy_strategy=foo", "choose one of drop, wait"),
        (f"{ROLLOUT}.gpu_memory_utilization=30", r"use a number in \(0, 1\]"),
        (f"{ROLLOUT}.n=null", "use a whole number"),
        ("trainer.n_gpus_per_node=0", "use a whole number of 1 or more"),
        ("trainer.total_training_steps=0", "use a whole number of 1 or more, or null"),
        ("trainer.max_actor_ckpt_to_keep=0", "or null"),
        ("data.shuffle=perhaps", "use true or false"),
        ("trainer.logger=null", "use a list of names"),
        ("trainer.logger=5", "use a list of names"),
        ("trainer.project_name=null", "use a text"),
        ("reward.custom_reward_function.name=null", "use a text"),
        ("data.train_max_samples=-5", "use a whole number of 1 or more, or -1 for all rows"),
        ("data.val_max_samples=0", "use a whole number of 1 or more, or -1 for all rows"),
        ("actor_rollout_ref.model.lora_rank=1.5", "use a whole number of 0 or more"),
        ("ray_kwargs.ray_init.num_cpus=many", "use a whole number of 0 or more"),
        ("ray_kwargs.ray_init.object_store_memory=-5", "use a whole number of 0 or more"),
        ("trainer.critic_warmup=1.5", "use a whole number of 0 or more"),
        (f"{ACTOR}.optim.lr_warmup_steps=1.5", "use a whole number"),
        (f"{ACTOR}.kl_loss_type=null", "use a text"),
        (f"{ROLLOUT}.top_k=-7", "use a whole number, -1 for never"),
        (f"{ROLLOUT}.load_format=foo", "choose one of .*dummy"),
        (f"{ROLLOUT}.name=hf", "choose one of .*vllm"),
        ("trainer.use_v1=false", "choose one of True"),
        ("actor_rollout_ref.hybrid_engine=maybe", "choose one of False, True"),
        ("data.prompt_key=question", "choose one of prompt"),
    ],
)
def test_a_wrong_value_is_named(config: DictConfig, override: str, words: str) -> None:
    changed = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
    assert isinstance(changed, DictConfig)
    with pytest.raises(ConfigError, match=f"^{override.partition('=')[0]}=.*{words}") as caught:
        check_values(changed)
    assert "\n" not in str(caught.value)

"""The memory plan follows the settings, and refuses with those that help most."""

import copy

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch import memory_plan
from verl_coder.launch.memory_cures import candidates, check_memory, cures
from verl_coder.launch.memory_plan import GIB, plan_memory
from verl_coder.launch.plan import TrainRequest, make_plan

HALF_BILLION = {"embedding": 151936 * 896, "layers": 358_000_000}
ACTOR = "actor_rollout_ref.actor"


class Shape:
    """Of Qwen2.5-Coder-0.5B."""

    vocab_size, hidden_size, intermediate_size, num_hidden_layers = 151936, 896, 4864, 24
    num_attention_heads, num_key_value_heads, head_dim = 14, 2, 64


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """The configuration of tiny_cpu."""
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out")))).config


@pytest.fixture
def config(composed: DictConfig, monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    """tiny_cpu with a model of 0.5 B parameters, on a machine of 24 GiB."""
    config = copy.deepcopy(composed)
    monkeypatch.setattr(memory_plan, "tensor_sizes", lambda _: HALF_BILLION)
    monkeypatch.setattr(memory_plan, "_shape", lambda _: Shape())
    monkeypatch.setattr(memory_plan, "machine_bytes", lambda: 24 * GIB)
    return config


def size(config: DictConfig, *overrides: str) -> float:
    changed = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(changed, DictConfig)
    plan = plan_memory(changed)
    assert plan is not None
    return plan.total() / GIB


@pytest.mark.parametrize(
    "override",
    [
        f"{ACTOR}.use_kl_loss=false",
        f"{ACTOR}.fsdp_config.model_dtype=bf16",
        f"{ACTOR}.ppo_micro_batch_size_per_gpu=1",
        "actor_rollout_ref.model.enable_gradient_checkpointing=true",
        "actor_rollout_ref.rollout.dtype=bfloat16",
        "data.max_response_length=100",
    ],
)
def test_each_setting_of_the_memory_table_lowers_the_plan(config: DictConfig, override: str) -> None:
    assert size(config, override) < size(config)


def test_adapters_lower_the_plan_of_short_passes_and_raise_that_of_long_ones(config: DictConfig) -> None:
    lora, short = "actor_rollout_ref.model.lora_rank=16", f"{ACTOR}.ppo_micro_batch_size_per_gpu=1"
    assert size(config, short, lora) < size(config, short)
    assert size(config, lora) > size(config)  # an adapter on each linear layer keeps activations of its own


def test_what_does_not_fit_is_refused_with_settings_that_then_fit(config: DictConfig) -> None:
    with pytest.raises(
        ConfigError, match=r"memory: .* GiB in all; the machine has 24.0 GiB.*it fits"
    ) as caught:
        check_memory(config, refuse=True)
    assert "\n" not in str(caught.value)
    settings, after = cures(config)
    assert 1 <= len(settings) <= 3 and not after.excess
    assert size(config, *(part for setting in settings for part in setting.split(" "))) < 0.95 * 24


def test_a_pass_is_never_made_too_small_for_a_whole_sample(config: DictConfig) -> None:
    config.actor_rollout_ref.actor.use_dynamic_bsz = True
    longest = config.data.max_prompt_length + config.data.max_response_length
    for tokens, wanted in ((longest, None), (longest + 40, longest), (8 * longest, 4 * longest)):
        config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu = tokens
        found = [setting for setting in candidates(config) if "ppo_max_token_len" in setting]
        assert found == ([f"{ACTOR}.ppo_max_token_len_per_gpu={wanted}"] if wanted else [])


def test_it_may_be_started_anyway(config: DictConfig) -> None:
    plan = check_memory(config, refuse=False)
    assert plan is not None and plan.excess > 0


def test_the_lines_sum_up_to_the_plan(config: DictConfig) -> None:
    plan = plan_memory(config)
    assert plan is not None
    processes = [float(line.split(" GiB (")[0].split()[-1]) for line in plan.lines()[:-1]]
    assert sum(processes) == pytest.approx(plan.total() / GIB, abs=0.6)

"""The memory plan follows the settings, and refuses with those that help most."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch import cards, memory_plan
from verl_coder.launch.cards import CARDS, GIB
from verl_coder.launch.memory_cures import candidates, check_memory, cures
from verl_coder.launch.memory_plan import MemoryPlan, plan_memory
from verl_coder.launch.model_shape import shape_of
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.paths import repository_root

ACTOR = "actor_rollout_ref.actor"


HALF_BILLION = shape_of("Qwen/Qwen2.5-Coder-0.5B-Instruct")


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """The configuration of tiny_cpu."""
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out")))).config


@pytest.fixture
def config(composed: DictConfig, monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    """tiny_cpu with a model of 0.5 B parameters, on a machine of 24 GiB."""
    config = copy.deepcopy(composed)
    monkeypatch.setattr(memory_plan, "shape_of", lambda _: HALF_BILLION)
    monkeypatch.setattr(memory_plan, "machine_bytes", lambda: 24 * GIB)
    return config


def size(config: DictConfig, *overrides: str) -> float:
    changed = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(changed, DictConfig)
    plan = plan_memory(changed)
    assert plan is not None
    return plan.total() / GIB


def test_the_documents_name_the_memory_that_is_planned(
    composed: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One number for what the first run needs: the doctor's, which --dry-run shows, too."""
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    planned = f"{size(composed):.1f} GiB"
    for name in ("README.md", "docs/quickstart.md", "docs/quickstart_zh.md"):
        assert planned in (repository_root() / name).read_text(), name
    own = (repository_root() / "src/verl_coder/launch/README.md").read_text()
    assert re.search(rf"^\| `tiny_cpu`, 12 steps.*\| {planned} \|", own, re.M)


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


def test_an_adapter_lowers_the_plan_of_short_passes_and_of_long_ones(config: DictConfig) -> None:
    lora, short = "actor_rollout_ref.model.lora_rank=16", f"{ACTOR}.ppo_micro_batch_size_per_gpu=1"
    assert size(config, short, lora) < size(config, short)
    assert size(config, lora) < size(config)


@pytest.mark.parametrize(
    "needs_them",
    [f"{ACTOR}.entropy_coeff=0.01", "actor_rollout_ref.model.target_modules=[lm_head]"],
)
def test_logits_are_planned_for_an_adapter_only_where_they_are_needed(
    config: DictConfig, needs_them: str
) -> None:
    plain = (
        "actor_rollout_ref.model.lora_rank=16",
        f"{ACTOR}.entropy_coeff=0",
        f"{ACTOR}.calculate_entropy=false",
    )
    assert size(config, *plain, needs_them) > size(config, *plain) + 1


def test_logits_of_guessed_tokens_are_planned(config: DictConfig, tmp_path: Path) -> None:
    request = TrainRequest(recipe="tiny_cpu", out=str(tmp_path), overrides=("speculation=lookup",))
    assert HALF_BILLION is not None
    guessed = 4 * config.actor_rollout_ref.rollout.max_num_seqs
    wanted = 14 * guessed * HALF_BILLION.vocab_size / GIB
    assert size(make_plan(request).config) - size(config) == pytest.approx(wanted)


def test_a_way_to_guess_that_is_no_json_is_named(config: DictConfig) -> None:
    OmegaConf.update(config, "actor_rollout_ref.rollout.engine_kwargs.vllm.speculative_config", "ngram")
    with pytest.raises(ConfigError, match=r"speculative_config=ngram: give an object in JSON"):
        plan_memory(config)


def test_what_does_not_fit_is_refused_with_settings_that_then_fit(config: DictConfig) -> None:
    with pytest.raises(
        ConfigError, match=r"memory: .* GiB planned; the machine has 24.0 GiB.*it fits"
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


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine of the tests has."""
    monkeypatch.setattr(cards, "cards_here", lambda: ())


def gpu_plan(*overrides: str, recipe: str = "coder_0.5b_gpu", card: str = "H100") -> MemoryPlan:
    config = make_plan(TrainRequest(recipe=recipe, out="/nowhere", overrides=overrides)).config
    config.verl_coder.plan_for = card
    plan = plan_memory(config)
    assert plan is not None
    return plan


def test_a_card_that_is_not_here_is_planned_for_without_this_machines_memory() -> None:
    plan = gpu_plan("trainer.n_gpus_per_node=64")
    assert plan.elsewhere and not plan.excess
    assert "of 79.6 GiB on each GPU (H100, which is not here)" in plan.summary()
    assert "the machine has" not in plan.summary()


def test_vllm_asleep_and_the_actors_pass_are_not_added_up() -> None:
    apart, together = (
        gpu_plan(f"actor_rollout_ref.rollout.free_cache_engine={asleep}") for asleep in ("true", "false")
    )
    share = 0.4 * CARDS["H100"].memory
    assert together.total(on_gpu=True) - apart.total(on_gpu=True) > share / 2


def test_vllm_on_gpus_of_its_own_takes_nothing_of_the_actors() -> None:
    plan = gpu_plan("mode=separate_async", "actor_rollout_ref.rollout.free_cache_engine=false")
    assert not any(term.on_gpu for term in plan.terms if term.process == "vLLM engine")


def test_what_is_offloaded_is_on_the_card_while_training_and_on_the_machine_always() -> None:
    states = "actor_rollout_ref.actor.fsdp_config"
    crowded = "actor_rollout_ref.rollout.gpu_memory_utilization=0.9"
    here = gpu_plan(crowded)
    away = gpu_plan(crowded, f"{states}.param_offload=true", f"{states}.optimizer_offload=true")
    gained = {term.what for term in away.terms} - {term.what for term in here.terms}
    assert gained == {"offloaded parameters", "offloaded optimiser"}
    assert away.total() > here.total() and away.total(on_gpu=True) < here.total(on_gpu=True)


def test_states_are_spread_over_all_nodes_or_over_groups() -> None:
    def optimiser(*overrides: str) -> float:
        plan = gpu_plan("trainer.n_gpus_per_node=8", *overrides, recipe="qwen_grpo")
        return sum(term.bytes for term in plan.terms if term.what == "optimiser")

    assert optimiser("trainer.nnodes=2") == pytest.approx(optimiser() / 2)
    assert optimiser("trainer.nnodes=2", "actor_rollout_ref.actor.fsdp_config.fsdp_size=8") == optimiser()


def test_a_share_of_a_card_that_does_not_hold_vllms_weights_is_refused() -> None:
    overrides = ("actor_rollout_ref.rollout.gpu_memory_utilization=0.5", "verl_coder.plan_for=RTX-4090")
    config = make_plan(TrainRequest(recipe="qwen_7b", out="/nowhere", overrides=overrides)).config
    with pytest.raises(
        ConfigError, match=r"utilization=0.5: .* set .*utilization=0.65, or .*parallel_size=2"
    ):
        check_memory(config, refuse=True)


def test_what_a_card_cannot_hold_is_refused_with_settings_of_cards() -> None:
    config = make_plan(
        TrainRequest(recipe="qwen_7b", out="/nowhere", overrides=("trainer.n_gpus_per_node=1",))
    ).config
    with pytest.raises(
        ConfigError, match=r"GiB on each GPU \(H100, which is not here\): set .*: then [0-9.]+ GiB, it fits"
    ) as caught:
        check_memory(config, refuse=True)
    assert "Ray kills" not in str(caught.value)


def test_a_short_card_is_cured_on_the_card_whether_it_is_here_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "machine_bytes", lambda: 1000 * GIB)
    overrides = ("trainer.n_gpus_per_node=4", "actor_rollout_ref.rollout.gpu_memory_utilization=0.8")
    config = make_plan(TrainRequest(recipe="qwen_7b", out="/nowhere", overrides=overrides)).config
    elsewhere, _ = cures(config)
    monkeypatch.setattr(cards, "cards_here", lambda: (replace(CARDS["H100"], is_here=True),))
    here, _ = cures(config)
    assert here == elsewhere and here


def test_parameters_stay_on_the_card_where_verl_loads_old_weights_back_into_them() -> None:
    config = make_plan(
        TrainRequest(recipe="qwen_7b", out="/nowhere", overrides=("mode=separate_async",))
    ).config
    config.trainer.v1.separate_async.parameter_sync_step = 2
    for bypass in (False, True):
        OmegaConf.update(config, "algorithm.rollout_correction.bypass_mode", bypass, force_add=True)
        proposed = " ".join(candidates(config))
        assert ("param_offload=true" in proposed) is bypass and "optimizer_offload=true" in proposed


def test_a_cache_that_was_asked_for_is_the_first_cure(
    config: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_plan, "machine_bytes", lambda: 200 * GIB)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "400")
    with pytest.raises(
        ConfigError, match=r": set VLLM_CPU_KVCACHE_SPACE=1 in the environment: then .*it fits"
    ):
        check_memory(config, refuse=True)
    for value in ("abc", "4GiB", "0.5", "0"):
        monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", value)
        with pytest.raises(ConfigError, match=rf"VLLM_CPU_KVCACHE_SPACE={value}: use a whole number of GiB"):
            plan_memory(config)


def test_fewer_agent_loop_workers_are_a_cure_where_they_are_many(config: DictConfig) -> None:
    OmegaConf.update(config, "actor_rollout_ref.rollout.agent.num_workers", 64)
    settings, _ = cures(config)
    assert "actor_rollout_ref.rollout.agent.num_workers=8" in settings
    OmegaConf.update(config, "actor_rollout_ref.rollout.agent.num_workers", 8)
    assert not any("num_workers" in setting for setting in candidates(config))

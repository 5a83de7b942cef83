"""Which settings lower what a run takes: each is tried on the memory plan, and those that save most come first."""

import math
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.cards import GIB
from verl_coder.launch.memory_plan import CACHE, MemoryPlan, cache_gib, least_share, plan_memory
from verl_coder.launch.preflight.mode import restores_aliases
from verl_coder.platform.environment import variable_set
from verl_coder.run.resume import may_change

MOST = 3
_ENOUGH_WORKERS = 8
"""verl's own number of agent-loop workers: each holds an interpreter and a tokenizer, however few samples it has."""
MOST_SHARE = 0.9
"""Of a GPU that vLLM can be given."""
_ACTOR, _ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
_SHARE = f"{_ROLLOUT}.gpu_memory_utilization"


def check_memory(config: DictConfig, *, refuse: bool) -> MemoryPlan | None:
    """The plan of a run; ConfigError, with the settings that help most, where it does not fit and `refuse`."""
    plan = plan_memory(config)
    if plan is None or not refuse:
        return plan
    _check_share(config)
    if not plan.excess:
        return plan
    settings, after = _with_a_small_cache(config)
    fits = "it fits" if not after.excess else f"{after.excess / GIB:.1f} GiB are still missing"
    on_card = _is_card_short(plan)
    cure = (
        f"{', '.join(settings)}: then {after.total(on_gpu=on_card) / GIB:.1f} GiB, {fits} "
        "(verl_coder.memory_check=false starts it anyway)"
    )
    if on_card:
        raise ConfigError(f"memory: {plan.summary()}: set {cure}")
    raise ConfigError(f"memory: {plan.summary()}, and Ray kills workers at 95 %: set {cure}")


def _with_a_small_cache(config: DictConfig) -> tuple[list[str], MemoryPlan]:
    """`cures`, of a run whose cache on a CPU is the smallest; a larger one was asked for, and is named first."""
    if config.trainer.device != "cpu" or cache_gib() == 1:
        return cures(config)
    with variable_set(CACHE, "1"):
        plan = plan_memory(config)
        assert plan is not None
        settings, after = cures(config, most=MOST - 1) if plan.excess else ([], plan)
    return [f"{CACHE}=1 in the environment", *settings], after


def _check_share(config: DictConfig) -> None:
    """vLLM's share of a GPU must hold its weights."""
    rollout, least = config.actor_rollout_ref.rollout, least_share(config)
    if float(rollout.gpu_memory_utilization) < least:
        parts = int(rollout.tensor_model_parallel_size)
        enough = f"{_SHARE}={math.ceil(20 * least) / 20:g}, or " if least < MOST_SHARE else ""
        raise ConfigError(
            f"memory: {_SHARE}={rollout.gpu_memory_utilization}: vLLM's weights and cache take at least {least:.2f} of "
            f"such a GPU: set {enough}{_ROLLOUT}.tensor_model_parallel_size={2 * parts}"
        )


def cures(config: DictConfig, most: int = MOST, *, on_resume: bool = False) -> tuple[list[str], MemoryPlan]:
    """(settings in the order in which they help, the plan with them); as many as it takes to fit, at most `most`.

    `on_resume`: only those that a resume may change.
    """
    chosen: list[str] = []
    plan = plan_memory(config)
    assert plan is not None
    on_card = _is_card_short(plan)
    while len(chosen) <= most and (plan.excess or not chosen):
        trials = []
        for setting in candidates(config):
            if on_resume and not all(may_change(key) for key in _keys(setting)):
                continue
            changed = _with(config, setting)
            trial = plan_memory(changed)
            if trial is not None:
                trials.append((_size(plan, on_card) - _size(trial, on_card), setting, changed, trial))
        # Weights in bfloat16 learn worse: only where nothing else saves anything.
        saving, setting, changed, trial = max(
            trials,
            key=lambda found: (found[0] > 0 and "model_dtype=bf16" not in found[1], found[0]),
            default=(0.0, "", config, plan),
        )
        if saving <= 0:
            break
        kept = [before for before in chosen if _keys(before) != _keys(setting)]
        if len(kept) == most:
            break
        chosen, config, plan = [*kept, setting], changed, trial
    return chosen, plan


def cures_of(config_file: Path, *, on_resume: bool = False) -> list[str]:
    """The settings that help most in the run whose configuration is in `config_file`, whether the plan fits or not."""
    config = OmegaConf.load(config_file)
    assert isinstance(config, DictConfig)
    if plan_memory(config) is None:
        return list(candidates(config))[:MOST]
    found: list[str] = []
    for _ in range(MOST):
        settings, _ = cures(config, most=1, on_resume=on_resume)
        if not settings or _keys(settings[0]) in [_keys(before) for before in found]:
            break
        found += settings
        config = _with(config, settings[0])
    return found


def _keys(setting: str) -> list[str]:
    return [part.partition("=")[0] for part in setting.split(" ")]


def _is_card_short(plan: MemoryPlan) -> bool:
    return plan.card is not None and plan.total(on_gpu=True) > plan.card.memory


def _size(plan: MemoryPlan, on_card: bool) -> float:
    """What a cure is to lower: a GPU's memory where that is short, else all of it."""
    return plan.total(on_gpu=True) if on_card else plan.total() + plan.total(on_gpu=True)


def _with(config: DictConfig, setting: str) -> DictConfig:
    changed = OmegaConf.merge(
        config, OmegaConf.from_dotlist([part.lstrip("+") for part in setting.split(" ")])
    )
    assert isinstance(changed, DictConfig)
    return changed


def candidates(config: DictConfig) -> list[str]:
    """Settings that this run could take, each as one or more overrides with a space between them."""
    section = config.actor_rollout_ref
    actor, rollout, model = section.actor, section.rollout, section.model
    found = []
    if config.trainer.device != "cpu":
        found += _of_a_gpu(config)
    if not int(model.get("lora_rank") or 0):
        found.append("actor_rollout_ref.model.lora_rank=16 actor_rollout_ref.model.lora_alpha=32")
    if str(actor.fsdp_config.model_dtype) == "fp32":
        found.append(
            f"{_ACTOR}.fsdp_config.model_dtype=bf16 actor_rollout_ref.ref.fsdp_config.model_dtype=bf16"
        )
    if actor.use_kl_loss:
        found.append(f"{_ACTOR}.use_kl_loss=false")
    if str(rollout.dtype) == "float32":
        found.append(f"{_ROLLOUT}.dtype=bfloat16")
    if not model.enable_gradient_checkpointing:
        found.append("actor_rollout_ref.model.enable_gradient_checkpointing=true")
    if actor.use_dynamic_bsz:
        # A pass holds at least one whole sample.
        longest = int(config.data.max_prompt_length) + int(config.data.max_response_length)
        fewer = max(int(actor.ppo_max_token_len_per_gpu) // 2, longest)
        if fewer < int(actor.ppo_max_token_len_per_gpu):
            found.append(f"{_ACTOR}.ppo_max_token_len_per_gpu={fewer}")
    else:
        sizes = (actor.ppo_micro_batch_size_per_gpu or 1, rollout.log_prob_micro_batch_size_per_gpu or 1)
        if max(sizes) > 1:
            found.append(
                f"{_ACTOR}.ppo_micro_batch_size_per_gpu={max(sizes[0] // 4, 1)} "
                f"{_ROLLOUT}.log_prob_micro_batch_size_per_gpu={max(sizes[1] // 4, 1)} "
                f"actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu={max(sizes[1] // 4, 1)}"
            )
    if int(rollout.agent.num_workers) > _ENOUGH_WORKERS:
        found.append(f"{_ROLLOUT}.agent.num_workers={_ENOUGH_WORKERS}")
    if int(config.data.max_response_length) > 256:
        found.append(f"data.max_response_length={int(config.data.max_response_length) // 2}")
    return found


def _of_a_gpu(config: DictConfig) -> list[str]:
    section = config.actor_rollout_ref
    states, share = section.actor.fsdp_config, float(section.rollout.gpu_memory_utilization)
    lower = max(share - 0.2, 0.3, math.ceil(20 * least_share(config)) / 20)
    found = []
    params, optimizer = (f"{_ACTOR}.fsdp_config.{what}_offload=true" for what in ("param", "optimizer"))
    if not (states.param_offload and states.optimizer_offload):
        both = f"{params} {optimizer}"
        if not restores_aliases(_with(config, both)):
            found.append(both)
        elif not states.optimizer_offload:
            found.append(optimizer)
    if not section.rollout.free_cache_engine:
        found.append(f"{_ROLLOUT}.free_cache_engine=true")
    if lower < share:
        found.append(f"{_SHARE}={lower:g}")
    return found

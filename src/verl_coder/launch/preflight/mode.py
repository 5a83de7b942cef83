"""What can be wrong with the asynchronous modes, found before Ray starts, each in one line."""

from omegaconf import DictConfig

from verl_coder.errors import ConfigError

_ENGINE = "actor_rollout_ref.rollout.checkpoint_engine.backend"
_THRESHOLD = "trainer.v1.sampler.max_off_policy_threshold"


def restores_aliases(config: DictConfig) -> bool:
    """Whether verl would load old weights back (`save_model_to_cpu`) from what is no copy of them.

    `_local_tensor.detach().cpu()` of a tensor on the CPU is that tensor: what is loaded into it overwrites itself. Of
    FSDP1's parameters verl makes a copy.
    """
    v1, actor = config.trainer.v1, config.actor_rollout_ref.actor
    states = actor.fsdp_config
    loads_back = (
        v1.trainer_mode == "separate_async"
        and v1.separate_async.parameter_sync_step > 1
        and not config.algorithm.get("rollout_correction", {}).get("bypass_mode", False)
    )
    on_cpu = config.trainer.device == "cpu" or states.param_offload or states.offload_policy
    return loads_back and actor.strategy in ("fsdp2", "veomni") and bool(on_cpu)


def check_mode(config: DictConfig) -> None:
    """ConfigError for the first setting that `trainer.v1.trainer_mode` does not go with."""
    mode, model = config.trainer.v1.trainer_mode, config.actor_rollout_ref.model
    if mode != "separate_async" and not config.actor_rollout_ref.hybrid_engine:
        raise ConfigError(
            f"actor_rollout_ref.hybrid_engine=False: {mode} generates on the trainer's devices, leave it out; "
            "mode=separate_async generates on others, and sets it"
        )
    threshold = config.trainer.v1.sampler.max_off_policy_threshold
    if threshold is not None and (type(threshold) is not int or threshold < 1):  # verl asks in sync, too
        raise ConfigError(
            f"{_THRESHOLD}={threshold}: use a whole number of 1 or more, the versions of the weights"
        )
    if mode == "sync":
        return
    if threshold is None:
        raise ConfigError(
            f"{_THRESHOLD}=null: in {mode} trajectories would be trained on however old they are; set it (3)"
        )
    if mode != "separate_async":
        return
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    if rollout.checkpoint_engine.backend == "naive" or not rollout.nnodes or not rollout.n_gpus_per_node:
        raise ConfigError(
            f"separate_async needs devices for generation (actor_rollout_ref.rollout.nnodes, n_gpus_per_node) and a "
            f"{_ENGINE} that is not naive: mode=separate_async sets all of them"
        )
    steps = config.trainer.v1.separate_async.parameter_sync_step
    if config.data.train_batch_size != steps * actor.ppo_mini_batch_size:
        raise ConfigError(
            f"data.train_batch_size={config.data.train_batch_size}: separate_async needs "
            f"trainer.v1.separate_async.parameter_sync_step={steps} times "
            f"actor_rollout_ref.actor.ppo_mini_batch_size={actor.ppo_mini_batch_size}"
        )
    if restores_aliases(config):
        raise ConfigError(
            f"trainer.v1.separate_async.parameter_sync_step={steps}: verl keeps the weights of the last sync by a copy "
            "to the CPU, which is no copy of parameters that lie there, so that updates would be lost or the old "
            "log-probs be of the wrong weights: set algorithm.rollout_correction.bypass_mode=true, or "
            "parameter_sync_step=1"
        )
    if model.lora_rank and not model.lora.merge:
        raise ConfigError(
            f"actor_rollout_ref.model.lora_rank={model.lora_rank}: separate rollouts would never get the adapter; set "
            "actor_rollout_ref.model.lora.merge=true"
        )

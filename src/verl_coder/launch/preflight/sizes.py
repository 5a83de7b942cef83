"""Sizes that do not divide each other, and settings that our way of saving a checkpoint does not go with."""

import json
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.launch.preflight.mode import check_mode
from verl_coder.launch.preflight.passes import check_passes, sequence_parallel
from verl_coder.run.checkpoint_files import TRACKER, step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.words import counted

_QUEUE = "transfer_queue"
_STORAGE_UNITS = f"{_QUEUE}.backend.SimpleStorage.num_data_storage_units"
_EXECUTOR = "actor_rollout_ref.rollout.engine_kwargs.vllm.distributed_executor_backend"


def check_batch_sizes(config: DictConfig) -> None:
    """Sizes, and a mode, that verl would only refuse in a worker, or not at all."""
    batch, mini = config.data.train_batch_size, config.actor_rollout_ref.actor.ppo_mini_batch_size
    if mini > batch or batch % mini:
        raise ConfigError(
            f"data.train_batch_size={batch} must be a multiple of actor_rollout_ref.actor.ppo_mini_batch_size={mini}"
        )
    rollout = config.actor_rollout_ref.rollout
    check_shares(config)
    check_passes(config)
    check_ranks(config)
    check_mode(config)
    if config.algorithm.adv_estimator == "grpo" and rollout.n < 2:
        raise ConfigError(
            f"actor_rollout_ref.rollout.n={rollout.n}: GRPO compares samples of a prompt, use 2 or more"
        )
    if config.trainer.critic_warmup >= (config.trainer.total_training_steps or 2**62):
        raise ConfigError(
            f"trainer.critic_warmup={config.trainer.critic_warmup}: the policy learns from that step on, and the run "
            f"has trainer.total_training_steps={config.trainer.total_training_steps}: use 0"
        )
    _check_scheduler(rollout)
    needed = config.data.max_prompt_length + config.data.max_response_length
    if rollout.max_model_len is not None and rollout.max_model_len < needed:
        raise ConfigError(
            f"actor_rollout_ref.rollout.max_model_len={rollout.max_model_len} is below data.max_prompt_length + "
            f"data.max_response_length = {needed}"
        )


def _check_scheduler(rollout: DictConfig) -> None:
    """vLLM's own rules for the tokens of one of its steps, which it checks when its engine starts."""
    place, tokens = "actor_rollout_ref.rollout", rollout.max_num_batched_tokens
    if tokens is None:
        return
    if tokens < rollout.max_num_seqs:
        raise ConfigError(
            f"{place}.max_num_batched_tokens={tokens} is below {place}.max_num_seqs={rollout.max_num_seqs}: a step of "
            "vLLM takes a token of each sequence at least"
        )
    if not rollout.enable_chunked_prefill and rollout.max_model_len and tokens < rollout.max_model_len:
        raise ConfigError(
            f"{place}.max_num_batched_tokens={tokens} is below {place}.max_model_len={rollout.max_model_len}, which "
            f"needs {place}.enable_chunked_prefill=true"
        )


def check_ranks(config: DictConfig) -> None:
    """A replica of several ranks needs a process for each, which is not what a CPU's settings ask of vLLM."""
    rollout = config.actor_rollout_ref.rollout
    for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size"):
        if rollout.get(name, 1) > 1 and vllm_executor(config) != "mp":
            raise ConfigError(
                f"actor_rollout_ref.rollout.{name}={rollout[name]}: vLLM runs in one process here, set {_EXECUTOR}=mp"
            )


def vllm_executor(config: DictConfig) -> str:
    """What vLLM's ranks run in: `mp`, a process each, as verl asks for it; else what the settings name."""
    return OmegaConf.select(config, _EXECUTOR) or "mp"


def check_shares(config: DictConfig) -> None:
    """The samples of a mini-batch are dealt to the workers, each as many; verl finds out in the first update."""
    actor, trainer = config.actor_rollout_ref.actor, config.trainer
    workers = trainer.n_gpus_per_node * trainer.nnodes
    # Workers of a sequence-parallel group hold the same rows.
    groups = workers // sequence_parallel(config)
    rows = actor.ppo_mini_batch_size * config.actor_rollout_ref.rollout.n
    if groups and rows % groups:
        raise ConfigError(
            f"actor_rollout_ref.actor.ppo_mini_batch_size={actor.ppo_mini_batch_size} with "
            f"actor_rollout_ref.rollout.n={config.actor_rollout_ref.rollout.n}: {rows} samples cannot be dealt to "
            f"{counted(groups, 'worker')} equally (N_GPUS={trainer.n_gpus_per_node}, trainer.nnodes={trainer.nnodes}): "
            f"use {largest_divisor(rows, groups)} of them, or another size"
        )


def largest_divisor(of: int, most: int) -> int:
    """The largest number up to `most` that divides `of`."""
    return next(number for number in range(min(of, most), 0, -1) if of % number == 0)


def check_checkpoint_settings(config: DictConfig, run_dir: RunDir) -> None:
    """What our way of saving a checkpoint does not go with."""
    folder = config.trainer.default_local_dir
    if Path(str(folder)) != run_dir.checkpoints:
        raise ConfigError(
            f"trainer.default_local_dir={folder}: checkpoints stand in the run's folder, use OUT="
        )
    if config.trainer.resume_mode != "auto":
        raise ConfigError(
            f"trainer.resume_mode={config.trainer.resume_mode}: a run goes on where its folder stands, so leave it "
            "at auto; a run from the beginning takes another folder with OUT="
        )
    if config.trainer.get("del_local_ckpt_after_load", False):
        raise ConfigError(
            "trainer.del_local_ckpt_after_load=true: a kill before the next save would leave no checkpoint"
        )
    if config.actor_rollout_ref.actor.get("checkpoint", {}).get("async_save", False):
        raise ConfigError(
            "actor_rollout_ref.actor.checkpoint.async_save=true: such a save cannot be made atomic"
        )
    _check_storage_units(config, run_dir)


def _check_storage_units(config: DictConfig, run_dir: RunDir) -> None:
    """An asynchronous run goes on with the rollouts of its checkpoint: one file for each process that held them."""
    folder = step_folder(run_dir.checkpoints, run_dir.last_whole_step())
    file = folder / _QUEUE / "simple_storage/storage_unit_info.json"
    if config.trainer.v1.trainer_mode == "sync" or not file.is_file():
        return
    try:
        saved = len(json.loads(file.read_bytes()))
    except (ValueError, TypeError, OSError) as error:
        raise CheckpointError(
            f"{file} is broken ({type(error).__name__}: {error}): write the number of an older checkpoint into "
            f"{run_dir.checkpoints / TRACKER}, or take another folder with OUT="
        ) from None
    given = OmegaConf.select(config, _STORAGE_UNITS)
    if given != saved:
        raise CheckpointError(
            f"{_STORAGE_UNITS}={given}: the rollouts in {folder} were held by {saved}, and are read back by as many: "
            f"set {_STORAGE_UNITS}={saved}, or another folder with OUT="
        )

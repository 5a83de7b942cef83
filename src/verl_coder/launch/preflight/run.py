"""Everything that can be wrong with a run, found before Ray starts, each in one line."""

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
from omegaconf import DictConfig

from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.plan import Plan
from verl_coder.launch.preflight.agent_loops import check_agent_loops
from verl_coder.launch.preflight.composite import check_composite
from verl_coder.launch.preflight.curriculum import check_curriculum
from verl_coder.launch.preflight.grpo import check_grpo, check_lora
from verl_coder.launch.preflight.reward import check_reward_file
from verl_coder.launch.preflight.tools import check_tools
from verl_coder.launch.recipe import file_list
from verl_coder.problems import ROW_SCHEMA
from verl_coder.run.checkpoint_files import saved_steps
from verl_coder.run.run_dir import RunDir

BYTES_PER_PARAMETER_ON_DISK = 16
"""fp32 weights and two Adam moments, and the Hugging Face copy: what one checkpoint takes at most."""


def check_run(plan: Plan, *, data_is_there: bool = True) -> None:
    """Raise the first ConfigError, DataError or CheckpointError of the run."""
    config, settings, run_dir = plan.config, plan.settings, plan.run_dir
    check_batch_sizes(config)
    check_checkpoint_settings(config, run_dir)
    check_model(str(config.actor_rollout_ref.model.path))
    check_lora(config)
    if data_is_there:
        check_data(config)
    reward = config.reward.custom_reward_function
    if not reward.path:
        raise ConfigError("reward.custom_reward_function.path is empty: name a file of rewards/ (REWARD=)")
    check_reward_file(reward.path, reward.name)
    rollout = config.actor_rollout_ref.rollout
    check_tools(rollout.multi_turn.tool_config_path)
    files = [*file_list(config.data.train_files), *file_list(config.data.val_files)] if data_is_there else []
    check_agent_loops(rollout.agent.agent_loop_config_path, rollout.multi_turn.tool_config_path, files)
    check_curriculum(config, settings.curriculum, run_dir, data_is_there=data_is_there)
    check_grpo(config, settings)
    check_composite(config, settings, data_is_there=data_is_there)
    run_dir.check_shape(config)
    check_disk(config, run_dir.path, keep_best=settings.keep_best)


def check_data(config: DictConfig) -> None:
    """The Parquet files must be there, be rows, and fill a batch."""
    for name in ("train_files", "val_files"):
        check_parquet(f"data.{name}", file_list(config.data[name]))
    rows = sum(pq.read_metadata(path).num_rows for path in file_list(config.data.train_files))
    if rows < config.data.train_batch_size:
        raise DataError(
            f"data.train_files has {rows} rows, fewer than data.train_batch_size={config.data.train_batch_size}"
        )


def check_batch_sizes(config: DictConfig) -> None:
    """Sizes that verl would only refuse in a worker, or not at all."""
    batch, mini = config.data.train_batch_size, config.actor_rollout_ref.actor.ppo_mini_batch_size
    if mini > batch or batch % mini:
        raise ConfigError(
            f"data.train_batch_size={batch} must be a multiple of actor_rollout_ref.actor.ppo_mini_batch_size={mini}"
        )
    rollout = config.actor_rollout_ref.rollout
    check_micro_batches(config)
    if config.algorithm.adv_estimator == "grpo" and rollout.n < 2:
        raise ConfigError(
            f"actor_rollout_ref.rollout.n={rollout.n}: GRPO compares samples of a prompt, use 2 or more"
        )
    needed = config.data.max_prompt_length + config.data.max_response_length
    if rollout.max_model_len is not None and rollout.max_model_len < needed:
        raise ConfigError(
            f"actor_rollout_ref.rollout.max_model_len={rollout.max_model_len} is below data.max_prompt_length + "
            f"data.max_response_length = {needed}"
        )
    if config.trainer.total_training_steps is not None and config.trainer.total_training_steps < 1:
        raise ConfigError(
            f"trainer.total_training_steps={config.trainer.total_training_steps}: use 1 or more"
        )


def check_micro_batches(config: DictConfig) -> None:
    """Without dynamic batch sizes, each worker's rows must be a multiple of its micro-batch."""
    actor, rollout, ref = (config.actor_rollout_ref[name] for name in ("actor", "rollout", "ref"))
    workers = config.trainer.n_gpus_per_node * config.trainer.nnodes
    for place, rows, dynamic, size in (
        (
            "actor.ppo_micro_batch_size_per_gpu",
            actor.ppo_mini_batch_size * rollout.n,
            actor.use_dynamic_bsz,
            actor.ppo_micro_batch_size_per_gpu,
        ),
        (
            "rollout.log_prob_micro_batch_size_per_gpu",
            config.data.train_batch_size * rollout.n,
            rollout.log_prob_use_dynamic_bsz,
            rollout.log_prob_micro_batch_size_per_gpu,
        ),
        (
            "ref.log_prob_micro_batch_size_per_gpu",
            config.data.train_batch_size * rollout.n,
            ref.log_prob_use_dynamic_bsz,
            ref.log_prob_micro_batch_size_per_gpu,
        ),
    ):
        if size and not dynamic and rows % (size * workers):
            raise ConfigError(
                f"actor_rollout_ref.{place}={size}: the {rows} samples of a batch on {workers} worker(s) are no "
                "multiple of it"
            )


def check_model(path: str) -> None:
    """A folder must hold a model and its tokenizer; anything else is taken for a name on the hub."""
    folder = Path(path)
    if folder.is_dir():
        for name in ("config.json", "tokenizer_config.json"):
            if not (folder / name).is_file():
                raise ConfigError(f"MODEL: {folder} has no {name}")
        return
    if path.startswith(("/", ".", "~")) or path.count("/") != 1:
        raise ConfigError(f"MODEL: no folder {path} (a model of the hub is named owner/name)")
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        from huggingface_hub import try_to_load_from_cache

        if not isinstance(try_to_load_from_cache(path, "config.json"), str):
            raise ConfigError(f"MODEL: {path} is not in the local hub cache and HF_HUB_OFFLINE=1")


def check_parquet(place: str, paths: list[Path]) -> None:
    """Files must exist and have the columns of a row (see problems.ROW_SCHEMA)."""
    if not paths:
        raise ConfigError(f"{place} is empty: name a Parquet file (TRAIN=, VAL=)")
    for path in paths:
        if not path.is_file():
            raise DataError(f"{place}: no file {path}")
        try:
            columns = pq.read_schema(path)
        except Exception as error:
            raise DataError(
                f"{place}: {path} is not a Parquet file ({str(error).splitlines()[0]})"
            ) from error
        missing = [name for name in ROW_SCHEMA.names if name not in columns.names]
        if missing:
            raise DataError(
                f"{place}: {path} lacks the column {missing[0]!r}; it has {', '.join(columns.names)} "
                "(make it with `verl-coder data prepare` or data_prep/)"
            )


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


def check_disk(config: DictConfig, folder: Path, *, keep_best: bool) -> None:
    """Enough room for the checkpoints that the run keeps (the last ones, the best) and one that is being written.

    Those that are there already take no more.
    """
    if config.trainer.save_freq <= 0:
        return
    keep = (config.trainer.max_actor_ckpt_to_keep or 1) + keep_best
    to_come = max(keep + 1 - len(saved_steps(RunDir(folder).checkpoints)), 1)
    needed = BYTES_PER_PARAMETER_ON_DISK * parameter_count(str(config.actor_rollout_ref.model.path)) * to_come
    needed += 200 * 2**20
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ConfigError(
            f"{folder}: {free / 2**20:,.0f} MiB free, the checkpoints need {needed / 2**20:,.0f} MiB: free some, "
            "name another folder with OUT=, or lower trainer.max_actor_ckpt_to_keep"
        )


def parameter_count(path: str) -> int:
    """Parameters of a local model, from the sizes of its weight files (2 bytes each); 0 if not local."""
    folder = Path(path)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return int(json.loads(index.read_text())["metadata"]["total_size"]) // 2
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) // 2 if folder.is_dir() else 0

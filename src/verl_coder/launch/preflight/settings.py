"""Every setting by itself and beside the others, before a file is looked at."""

from omegaconf import DictConfig

from verl_coder.launch.preflight.names import check_names
from verl_coder.launch.preflight.optimiser import check_optimiser
from verl_coder.launch.preflight.sizes import check_batch_sizes, check_checkpoint_settings
from verl_coder.launch.preflight.unread import check_unread
from verl_coder.launch.preflight.values import check_values
from verl_coder.launch.preflight.verl_classes import check_verl_classes
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import Settings


def check_settings(config: DictConfig, settings: Settings, run_dir: RunDir) -> None:
    """ConfigError for the first setting of the wrong kind, of nothing, or that does not go with another one."""
    check_values(config)
    check_unread(config)
    check_optimiser(config, "actor_rollout_ref.actor.optim")
    check_names(config, settings)
    check_batch_sizes(config)
    check_verl_classes(config)
    check_checkpoint_settings(config, run_dir)

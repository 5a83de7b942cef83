"""Every setting by itself and beside the others, before a file is looked at."""

from collections.abc import Sequence
from contextlib import suppress

from omegaconf import DictConfig

from verl_coder.errors import DataError
from verl_coder.launch.preflight.agent_loops import agent_names
from verl_coder.launch.preflight.names import check_names
from verl_coder.launch.preflight.optimiser import check_optimiser
from verl_coder.launch.preflight.sizes import check_batch_sizes, check_checkpoint_settings
from verl_coder.launch.preflight.unread import check_unread
from verl_coder.launch.preflight.unused import unused_settings
from verl_coder.launch.preflight.values import check_values
from verl_coder.launch.preflight.verl_classes import check_verl_classes
from verl_coder.launch.recipe import file_list
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


def notes_on_settings(config: DictConfig, settings: Settings, overrides: Sequence[str]) -> tuple[str, ...]:
    """A line for each override without an effect, as far as that can be told without the rows that are not made yet."""
    loops: set[str] = set()
    if settings.stop_after_code and any("verl_coder.stop_after_code=" in override for override in overrides):
        files = [path for name in ("train_files", "val_files") for path in file_list(config.data[name])]
        with suppress(DataError):  # the checks of the data say it
            loops = {name for path in files if path.is_file() for name in agent_names(path)}
    return unused_settings(config, settings, overrides, loops)

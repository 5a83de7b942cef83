"""What a run writes to and talks to: its folder, the disk below it, the sandboxes."""

import asyncio
import os
import tempfile
from pathlib import Path

from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.files import free_bytes
from verl_coder.launch.cluster import check_cluster
from verl_coder.launch.model_shape import shape_of
from verl_coder.launch.preflight.checked_tools import CheckedTools
from verl_coder.launch.preflight.model import local_folder, tensor_sizes
from verl_coder.run.checkpoint_files import planned_bytes, saved_steps
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import Settings
from verl_coder.sandbox.answering import check_answers, split_given

_SMALL_FILES = 200 * 2**20


def check_out(folder: Path, name: str = "OUT") -> None:
    """The folder that `name` gives must be one that can be made and written; nothing is left of the trial."""
    place = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not place.is_dir():
        raise ConfigError(f"{name}: {place} is a file: name another folder")
    try:
        with tempfile.TemporaryDirectory(prefix=".verl-coder-", dir=place):
            pass
    except OSError as error:
        raise ConfigError(
            f"{name}: {folder}: {place} cannot be written ({error.strerror}): name another folder"
        ) from error


def check_dump_folders(config: DictConfig) -> None:
    """The folders that verl writes rollouts and validations to, where they are set."""
    for name in ("rollout_data_dir", "validation_data_dir"):
        if config.trainer.get(name):
            check_out(Path(str(config.trainer[name])), f"trainer.{name}")


def sandbox_urls(settings: Settings) -> str | None:
    """The sandboxes that a run is given, comma-separated; None where it starts its own."""
    for given in (settings.sandbox_url, os.environ.get("SANDBOX_URL")):
        if urls := split_given(given):
            return ",".join(urls)
    return None


def check_services(config: DictConfig, settings: Settings) -> None:
    """The cluster of a run on several nodes, and the sandboxes that it is given; ConfigError."""
    check_cluster(config)
    check_sandboxes(settings)


def check_sandboxes(settings: Settings) -> None:
    """Every sandbox that is named must be an http address and answer."""
    given = sandbox_urls(settings)
    if not given:
        return
    place = "verl_coder.sandbox_url" if settings.sandbox_url else "SANDBOX_URL"
    asyncio.run(check_answers(place, given.split(",")))


def check_tools_sandboxes(tools: CheckedTools) -> None:
    """The sandboxes that tools have of their own, each as `config.sandbox_url`."""
    for tool in tools.entries:
        if urls := split_given(tool.sandbox_url):
            asyncio.run(check_answers(f"TOOLS: {tools.path}: config.sandbox_url", urls))


def check_disk(config: DictConfig, folder: Path, *, keep_best: bool) -> None:
    """Enough room for the checkpoints that the run keeps (the last ones, the best; all) and one that is being written.

    Those that are there already take no more.
    """
    if config.trainer.save_freq <= 0:
        return
    saves = -(-int(config.trainer.total_training_steps or 0) // int(config.trainer.save_freq))
    last = config.trainer.max_actor_ckpt_to_keep
    kept = (last or 1) + keep_best + 1
    if saves > 0:  # else nobody knows yet how many steps there are
        kept = saves if last is None else min(kept, saves)
    to_come = max(kept - len(saved_steps(RunDir(folder).checkpoints)), 1)
    needed = _checkpoint_bytes(config) * to_come + _SMALL_FILES
    free = free_bytes(folder)
    if free < needed:
        raise ConfigError(
            f"{folder}: {free / 2**20:,.0f} MiB free, the checkpoints need {needed / 2**20:,.0f} MiB: free some, "
            "name another folder with OUT=, or set a lower trainer.max_actor_ckpt_to_keep"
        )


def _checkpoint_bytes(config: DictConfig) -> int:
    """Of one checkpoint; 0 where the model is not here."""
    model, saved = config.actor_rollout_ref.model, config.actor_rollout_ref.actor.checkpoint
    path, rank = str(model.path), model.get("lora_rank") or 0
    parameters = parameter_count(path)
    shape = shape_of(path) if rank and parameters else None
    adapter = shape.lora_parameters(rank) if shape else 0
    return planned_bytes(
        parameters,
        adapter,
        contents=saved.save_contents,
        adapter_alone=bool(saved.get("save_lora_only")),
    )


def parameter_count(path: str) -> int:
    """Parameters of a local model, from the headers of its weight files; 0 if it is not here."""
    folder = local_folder(path)
    return sum(tensor_sizes(folder).values()) if folder else 0

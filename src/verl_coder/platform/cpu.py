"""The CPU as a verl platform: `torch.cpu` dressed as an accelerator module."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry

from verl_coder.platform.allocator import give_back


class _CpuDeviceModule(ModuleType):
    """`torch.cpu`, plus the memory and random-state calls that verl makes on an accelerator module."""

    def __init__(self) -> None:
        super().__init__("verl_coder_torch_cpu")

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    @staticmethod
    def memory_allocated(device: Any = None) -> int:
        """Resident set size of this process at its peak, in bytes: the nearest thing a CPU has."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated

    @staticmethod
    def mem_get_info(device: Any = None) -> tuple[int, int]:
        """(free, total) memory of the machine in bytes."""
        fields = {}
        with open("/proc/meminfo") as meminfo:
            for line in meminfo:
                name, value = line.split(":")
                fields[name] = int(value.split()[0]) * 1024
        return fields["MemAvailable"], fields["MemTotal"]

    @staticmethod
    def empty_cache() -> None:
        """PyTorch keeps no cache of CPU memory; the allocator does."""
        give_back()

    @staticmethod
    def reset_peak_memory_stats(device: Any = None) -> None:
        """Nothing to reset."""

    reset_max_memory_allocated = reset_peak_memory_stats

    @staticmethod
    def ipc_collect() -> None:
        """Nothing to collect: there are no device IPC handles."""

    @staticmethod
    def manual_seed(seed: int) -> None:
        """Seed PyTorch's CPU generator."""
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    @staticmethod
    def get_rng_state(device: Any = None) -> torch.Tensor:
        """State of PyTorch's CPU generator (uint8)."""
        return torch.get_rng_state()

    @staticmethod
    def set_rng_state(state: torch.Tensor, device: Any = None) -> None:
        """Restore PyTorch's CPU generator."""
        torch.set_rng_state(state)

    @staticmethod
    def get_device_name(device: Any = None) -> str:
        """ "CPU"; verl looks it up in a table of peak FLOP/s and reports no utilisation for it."""
        return "CPU"


_DEVICE_MODULE = _CpuDeviceModule()


class PlatformCPU(PlatformBase):
    """verl's platform interface on the CPU. Ray counts workers as logical GPUs (`ray_init.num_gpus`)."""

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> ModuleType:
        return _DEVICE_MODULE

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        # Never auto-detected: a GPU node must not fall onto the CPU by accident.
        return False

    def current_device(self) -> Any:
        # verl passes this to `.to`, where an index would mean an accelerator.
        return torch.device("cpu")

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        _DEVICE_MODULE.empty_cache()

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        # Weights then travel to vLLM through shared memory.
        return False

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def cudart(self) -> Any:
        return None


def register() -> None:
    """Make `VERL_PLATFORM=cpu` a platform that verl knows."""
    PlatformRegistry.register(platform="cpu")(PlatformCPU)

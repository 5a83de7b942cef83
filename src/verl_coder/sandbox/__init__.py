"""Runs programs: a client for SandboxFusion's API, and the embedded server that speaks it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verl_coder.sandbox.client import SandboxClient, SandboxSession, close_shared, shared_client
    from verl_coder.sandbox.types import (
        CommandResult,
        PairRequest,
        PairResponse,
        Program,
        RunRequest,
        RunResponse,
    )

__all__ = [
    "CommandResult",
    "PairRequest",
    "PairResponse",
    "Program",
    "RunRequest",
    "RunResponse",
    "SandboxClient",
    "SandboxSession",
    "close_shared",
    "shared_client",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: the processes that programs are forked from must not carry an HTTP client.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = (
        "client" if name in ("SandboxClient", "SandboxSession", "close_shared", "shared_client") else "types"
    )
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)

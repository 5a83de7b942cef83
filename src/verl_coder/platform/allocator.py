"""The memory allocator of processes that train on a CPU: jemalloc, which Ray brings along.

A pass makes and frees tensors of many sizes. The C library's allocator searches lists of free pieces for each, gives
memory back to the kernel and has it cleared again: a third of an update of Qwen2.5-Coder-0.5B went there. jemalloc
keeps what it once had, and has it in sizes that fit, until it is told to `give_back`.
"""

import contextlib
import ctypes
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

_LIBRARY = "core/libjemalloc.so"
_KEEPS_ALL = "oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:0"
"""Large pieces are as others, and nothing is given back by itself: the next pass needs it."""
_PURGE = b"arena.4096.purge"
"""Of all arenas."""


def allocator_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process is started with to have it; empty where Ray has none, or the user chose an allocator."""
    environment = os.environ if environment is None else environment
    ray = importlib.util.find_spec("ray")
    libraries = [Path(folder) / _LIBRARY for folder in (ray and ray.submodule_search_locations) or ()]
    chosen = environment.get("LD_PRELOAD") or environment.get("MALLOC_CONF")
    if chosen or not libraries or not libraries[0].is_file():
        return {}
    return {"LD_PRELOAD": str(libraries[0]), "MALLOC_CONF": _KEEPS_ALL}


def give_back() -> None:
    """What this process has freed goes back to the machine, as far as its allocator can do that."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        if hasattr(library, "mallctl"):
            library.mallctl(_PURGE, None, None, None, ctypes.c_size_t(0))
        else:
            library.malloc_trim(0)

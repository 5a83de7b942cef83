"""vLLM's engine is forked from a process that has imported vLLM while the server did so, for the CPU.

vLLM starts its engine as a new program, which imports all of vLLM a second time, after the server has done it: 8 s in
which nothing else goes on. Python's fork server is such a program, too, and can be started beforehand; what threads it
has are those of libraries that know of forks (OpenBLAS, jemalloc).
"""

import importlib
import os
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from verl_coder.platform import sigterm

PRELOADED = (
    "__main__",
    "vllm.v1.engine.core",
    "vllm.v1.worker.cpu_worker",
    "verl_coder.platform.vllm_executor",
    "verl_coder.platform.vllm_extension",
)
"""What an engine needs; a module that cannot be imported is left out, and the engine says why."""


def import_beside_engine(module: str) -> None:
    """Import a module with vLLM's server; the program that the engine will be forked from imports vLLM meanwhile."""
    sigterm.keep_blocked()  # which verl's import does too late for what is started here
    forkserver.set_forkserver_preload(list(PRELOADED))
    forkserver.ensure_running()
    importlib.import_module(module)
    fork_engines()


def fork_engines() -> None:
    """Let vLLM start the engines of this process by forks of the program that is there."""
    from vllm.v1.engine import utils

    original = utils.get_mp_context

    def get_context() -> Any:
        original()  # it sets variables for the engine
        return _EngineContext()

    utils.get_mp_context = get_context


class _InEnvironment:
    """A function that runs with the variables that the starting process had when it started it."""

    def __init__(self, target: Callable[..., Any]) -> None:
        self._target = target

    def __getstate__(self) -> dict[str, Any]:
        return {"_target": self._target, "_environment": dict(os.environ)}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        _change_environment(self.__dict__.get("_environment", dict(os.environ)))
        return self._target(*arguments, **named)


def _change_environment(wanted: Mapping[str, str]) -> None:
    """Only what differs: who gives a process its title (vLLM) looks where the program's first variables still are."""
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in wanted.items() if os.environ.get(name) != value})


class _EngineProcess(ForkServerProcess):
    def __init__(self, *, target: Callable[..., Any], **named: Any) -> None:
        super().__init__(target=_InEnvironment(target), **named)


class _EngineContext(ForkServerContext):
    Process = _EngineProcess  # type: ignore[assignment]

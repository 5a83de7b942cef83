"""Agent-loop workers import verl while vLLM still starts, on a CPU: verl makes them behind it, and waits for them."""

import importlib
import inspect
from typing import Any

import ray

from verl_coder.platform.begun_actors import BegunActors
from verl_coder.platform.far_actor import far_class


def begin_workers(usual: Any, count: int) -> BegunActors:
    """Start so many of Ray's class of workers, which import its module; for the manager that will make them."""
    real = usual.__ray_metadata__.modified_class
    stand_in: Any = ray.remote(far_class(real.__module__, real.__name__, methods_of(real)))
    begun = [stand_in.remote() for _ in range(count)]
    for worker in begun:
        worker.prepare.remote(_import)
    return BegunActors(usual, lambda _: begun.pop(0) if begun else None)


def methods_of(real: type) -> dict[str, bool]:
    """The methods of a class of actors that a handle can call, and whether each is a coroutine."""
    return {
        name: inspect.iscoroutinefunction(value)
        for name, value in inspect.getmembers(real, inspect.isfunction)
        if not name.startswith("__")
    }


def _import(module: str) -> None:
    importlib.import_module(module)

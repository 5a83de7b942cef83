"""Agent-loop workers import verl while vLLM still starts, on a CPU: verl makes them behind it, and waits for them."""

import inspect
from typing import Any

import ray

from verl_coder.platform.far_actor import far_class


def begin_workers(usual: Any, count: int) -> "EarlyWorkers":
    """Start so many of Ray's class of workers, which import its module; for the manager that will make them."""
    real = usual.__ray_metadata__.modified_class
    stand_in: Any = ray.remote(far_class(real.__module__, real.__name__, methods_of(real)))
    begun = [stand_in.remote() for _ in range(count)]
    for worker in begun:
        worker.prepare.remote(_import)
    return EarlyWorkers(usual, begun)


def methods_of(real: type) -> dict[str, bool]:
    """The methods of a class of actors that a handle can call, and whether each is a coroutine."""
    return {
        name: inspect.iscoroutinefunction(value)
        for name, value in inspect.getmembers(real, inspect.isfunction)
        if not name.startswith("__")
    }


def _import(module: str) -> None:
    import importlib

    importlib.import_module(module)


class EarlyWorkers:
    """In the place of Ray's class of workers: who makes one gets one that has begun, while there are any."""

    def __init__(self, usual: Any, begun: list[Any], options: dict[str, Any] | None = None) -> None:
        self._usual, self._begun, self._options = usual, begun, options or {}

    def options(self, **options: Any) -> "EarlyWorkers":
        """As of any class of actors."""
        return EarlyWorkers(self._usual, self._begun, options)

    def remote(self, *arguments: Any, **named: Any) -> Any:
        """A worker of these arguments."""
        if not self._begun:
            return self._usual.options(**self._options).remote(*arguments, **named)
        worker = self._begun.pop(0)
        # Calls of such an actor may overtake each other.
        ray.get(worker.become.remote(*arguments, **named))
        return worker

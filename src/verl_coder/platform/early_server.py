"""vLLM's first server imports vLLM while the trainer and the model still start, for the CPU.

verl makes its servers when the model has been loaded, and waits while they import vLLM. Here the process that starts
Ray makes an actor with the name that verl gives to the first of them, and verl's request for it takes that one.
"""

from typing import Any

import ray

from verl_coder.platform.engine_fork import import_beside_engine

FIRST = "vllm_server_0_0"
"""verl's name of the server of the first replica on the first node."""
CONCURRENCY = 10_000
"""Calls that it takes at a time, more than any server of a CPU is asked for."""


def begin_server(server: type) -> Any:
    """An actor of that stand-in (far_actor.py) that imports its module; it lives as long as its handle is kept."""
    made: Any = ray.remote(server)
    # Ray makes another kind of process for an environment of its own, and verl's servers have one.
    actor = made.options(name=FIRST, max_concurrency=CONCURRENCY, runtime_env={"env_vars": {}}).remote()
    actor.prepare.remote(import_beside_engine)
    return actor


class EarlyServers:
    """In the place of Ray's class of servers: who asks for the first one gets the actor that has begun."""

    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def options(self, **options: Any) -> "_Asked":
        """As of any class of actors."""
        return _Asked(self._usual, options)


class _Asked:
    def __init__(self, usual: Any, options: dict[str, Any]) -> None:
        self._usual, self._options = usual, options

    def remote(self, *arguments: Any, **named: Any) -> Any:
        """A server of these arguments."""
        if self._options.get("name") == FIRST and self._options.get("max_concurrency", 0) <= CONCURRENCY:
            try:
                begun: Any = ray.get_actor(FIRST)
            except ValueError:  # there is none: no run of ours on a CPU, or it has died
                pass
            else:
                # Calls of such an actor may overtake each other.
                ray.get(begun.become.remote(*arguments, **named))
                return begun
        return self._usual.options(**self._options).remote(*arguments, **named)

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
"""Calls that it takes at a time; a run whose server needs more begins none."""


def begin_server(server: type) -> Any:
    """An actor of that stand-in (far_actor.py) that imports its module; it lives as long as its handle is kept."""
    made: Any = ray.remote(server)
    # Ray makes another kind of process for an environment of its own, and verl's servers have one.
    actor = made.options(name=FIRST, max_concurrency=CONCURRENCY, runtime_env={"env_vars": {}}).remote()
    actor.prepare.remote(import_beside_engine)
    return actor


def take_server(options: dict[str, Any]) -> Any:
    """The server that has begun, for who makes one with its name; None where there is none."""
    if options.get("name") != FIRST:
        return None
    try:
        return ray.get_actor(FIRST)
    except ValueError:  # no run of ours on a CPU, or it has died
        return None

"""How long the start of Ray may take: on a busy machine longer than the 30 s that Ray gives its own processes."""

import time
from collections.abc import Callable
from typing import Any

LIMIT_S = 180
"""A start takes 5 s on an idle machine of 2 cores."""
PATIENCE = {
    "RAY_gcs_server_port_wait_time_s": str(LIMIT_S),
    "RAY_raylet_start_wait_time_s": str(LIMIT_S),
    "RAY_worker_register_timeout_seconds": str(LIMIT_S),
}
"""Ray's own settings, for the environment of all its processes; one that the user has set stays."""


def patient(get_node: Callable[..., Any], *, limit_s: float = LIMIT_S) -> Callable[..., Any]:
    """Ray's look for its raylet's registration, which raises RuntimeError where there is none yet, with patience.

    The caller (`ray._private.node.Node`) gives up after 30 s, a number without a setting. TimeoutError.
    """

    def get_node_or_wait(*arguments: Any, **named: Any) -> Any:
        deadline = time.monotonic() + limit_s
        while True:
            try:
                return get_node(*arguments, **named)
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"Ray has not started within {limit_s:g} s ({str(error).splitlines()[0]}): end what else runs "
                        "on this machine, and start the same command again"
                    ) from error
                time.sleep(min(0.1, limit_s / 10))

    return get_node_or_wait


def wait_longer_for_ray() -> None:
    """Let a `ray.init` of this process wait; called before it."""
    from ray._private import services

    services.get_node = patient(services.get_node)

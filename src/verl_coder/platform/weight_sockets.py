"""A socket of its own for the weight sync of each run.

verl's trainer sends weights to vLLM over `/tmp/rl-colocate-zmq-<Ray job>-replica-<n>-rank-<n>.sock`. Every run that
starts its own Ray is job 01000000 of it, so two runs on a machine take the socket from each other: one hangs for good,
or vLLM is given the other's weights. Both ends name the socket through zmq, in every process that imports verl.
"""

import hashlib
import os
from typing import Any

import zmq

from verl_coder.platform.environment import RUN_MARKER

PREFIX = "ipc:///tmp/rl-colocate-zmq-"


def of_this_run(address: str) -> str:
    """verl's address with the run's own part in it; any other address, or outside a run, as it is."""
    run = os.environ.get(RUN_MARKER)
    if not run or not address.startswith(PREFIX):
        return address
    return f"{PREFIX}{hashlib.sha256(run.encode()).hexdigest()[:12]}-{address.removeprefix(PREFIX)}"


def apply() -> None:
    """Let `bind` and `connect` of all zmq sockets of this process use the run's own address."""
    for name in ("bind", "connect"):
        original = getattr(zmq.Socket, name)
        if not hasattr(original, "verl_coder_original"):
            setattr(zmq.Socket, name, _renaming(original))


def _renaming(original: Any) -> Any:
    def call(self: zmq.Socket[Any], addr: str) -> Any:
        return original(self, of_this_run(addr))

    call.verl_coder_original = original  # type: ignore[attr-defined]
    return call

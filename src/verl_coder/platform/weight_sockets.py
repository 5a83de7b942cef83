"""A socket of its own for the weight sync of each run.

verl's trainer sends weights to vLLM over `/tmp/rl-colocate-zmq-<Ray job>-replica-<n>-rank-<n>.sock`. Every run that
starts its own Ray is job 01000000 of it, so two runs on a machine take the socket from each other: one hangs for good,
or vLLM is given the other's weights. Here it stands in the run's scratch folder, and goes with it. Both ends name it
through zmq, in processes that import verl, so both are changed there.
"""

import os
from typing import Any

import zmq

from verl_coder.platform.environment import SOCKET_FOLDER

PREFIX = "ipc:///tmp/rl-colocate-zmq-"


def of_this_run(address: str) -> str:
    """verl's address in the run's folder; any other address, or outside a run, as it is."""
    folder = os.environ.get(SOCKET_FOLDER)
    if not folder or not address.startswith(PREFIX):
        return address
    return f"ipc://{folder}/weights-{address.removeprefix(PREFIX)}"


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

"""Entry point of vLLM's group `vllm.general_plugins`: vLLM calls `register` in each of its processes.

vLLM's processes wait for each other by spinning on shared memory for up to a second, which suits a machine
with a core for each of them. On the CPU platform they wait for the notification that is sent anyway.
"""

from typing import Any

from verl_coder.platform import sigterm
from verl_coder.platform.environment import cpu_platform_selected

_SPIN_S = 0.0002
_WAIT_MS = 20


def register() -> None:
    """SIGTERM stays blocked; on the CPU platform, let the readers of vLLM's message queues sleep."""
    sigterm.keep_blocked()
    if not cpu_platform_selected():
        return
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    original = SpinCondition.wait

    def wait(self: Any, timeout_ms: int | None = None) -> None:
        self.busy_loop_s = _SPIN_S
        # A notification may have been dropped (the writer keeps one): never sleep without end.
        original(self, min(timeout_ms, _WAIT_MS) if timeout_ms is not None else _WAIT_MS)

    SpinCondition.wait = wait  # type: ignore[method-assign]

"""A process of a run that was started with SIGTERM blocked keeps it so.

A batch system sends SIGTERM to every process of a job. The launcher alone acts on it: it starts all others with the
signal blocked (launch/supervise.py), so that they live until the trainer has saved. But multiprocessing's resource
tracker, which shared memory and spawned processes start, unblocks SIGTERM in the thread that starts it, and what
that thread starts inherits this: vLLM's server, engine and worker then die at once.
"""

import signal
from multiprocessing import resource_tracker


def keep_blocked() -> None:
    """Where SIGTERM is blocked in this thread, let the resource tracker leave it so; elsewhere do nothing."""
    if signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        # Signals that the tracker blocks while it starts, and unblocks then. In its own process it ignores both.
        resource_tracker._IGNORED_SIGNALS = (signal.SIGINT,)  # type: ignore[attr-defined]

"""Python's collector of garbage in the processes of a run: what a long look has found alive is not looked at again.

Each process imports thousands of modules, whose objects a full collection walks through: 0.4 to 0.6 s each time, in
the trainer, the agent loops, the reward and TransferQueue, several times a minute. `config/base.yaml` names `watch` as
Ray's `worker_process_setup_hook`, so that it runs in each of Ray's processes before anything else.
"""

import gc
import time
from typing import Any

LONG_S = 0.05
"""A collection that takes longer ends with what it left frozen: some 100,000 objects."""

_began = 0.0


def watch() -> None:
    """From now on freeze what a full collection of more than LONG_S has left; once, however often it is called."""
    if _freeze_survivors not in gc.callbacks:
        gc.callbacks.append(_freeze_survivors)


def _freeze_survivors(phase: str, info: dict[str, Any]) -> None:
    global _began
    if phase == "start":
        _began = time.perf_counter()
    elif info["generation"] == 2 and time.perf_counter() - _began > LONG_S:
        gc.freeze()

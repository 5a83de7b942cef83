"""Python's collector of garbage in the workers of a run: what a long look has found alive is not looked at again.

Each process imports thousands of modules, whose objects a full collection walks through: 0.4 to 0.6 s each time, in
the trainer, the agent loops, the reward and TransferQueue, several times a minute. Each of Ray's workers calls `watch`
when it starts (ray_worker.py). The price: of what is alive at one of the first FREEZES long looks, a ring that is given
up later is never found.
"""

import gc
import time
from typing import Any

LONG_S = 0.05
"""Of processor time; a collection that takes longer ends with what it left frozen: some 100,000 objects."""
FREEZES = 3
"""In the life of a process: its imports come to that many; what it makes later is looked through as ever."""

_began = 0.0
_frozen = 0


def watch() -> None:
    """From now on freeze what a full collection of more than LONG_S has left; once, however often it is called."""
    if _freeze_survivors not in gc.callbacks:
        gc.callbacks.append(_freeze_survivors)


def _freeze_survivors(phase: str, info: dict[str, Any]) -> None:
    global _began, _frozen
    if phase == "start":
        _began = time.thread_time()
    elif info["generation"] == 2 and _frozen < FREEZES and time.thread_time() - _began > LONG_S:
        gc.freeze()
        _frozen += 1

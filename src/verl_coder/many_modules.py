"""verl brings 4,000 modules, which Python looks through for garbage time and again, and takes apart at the exit."""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage is collected in the block, and what is there at its end is looked through at the exit only.

    Around imports, not around work on data, whose garbage would stay.
    """
    if not gc.isenabled():  # by a block around this one, or by who called us
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        # Else libraries that count their own objects at the exit (triton's) report those as leaked.
        atexit.register(gc.unfreeze)
        gc.enable()


def leave(status: int) -> NoReturn:
    """End the command: what is registered for the exit is run and all output written, but no object is freed.

    Freeing them took a fifth of a dry run. Where a thread still runs, or the output cannot be written, Python's own
    exit waits for the one and tells the other.
    """
    if threading.active_count() > 1:
        sys.exit(status)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)

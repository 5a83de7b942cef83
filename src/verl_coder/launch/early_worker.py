"""The worker process, which imports verl while the launcher still checks the run, and waits to be told which it is."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from verl_coder.launch.memory_plan import free_memory
from verl_coder.launch.order import Order, give_order
from verl_coder.launch.plan import Plan
from verl_coder.launch.supervise import sigterm_blocked, start_apart
from verl_coder.launch.surroundings import worker_environment

MODULE = "verl_coder.launch.worker"
_PIPE_BYTES = 1 << 20


class EarlyWorker:
    """Context manager: the worker process; it has written nothing to the run's folder before `begin`.

    At the end of the block it is killed where it has not ended: a check has failed.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._logged = 0
        self.free_bytes = free_memory()
        """Of the machine's memory, before the worker had any."""

    def __enter__(self) -> Self:
        self._said = os.fdopen(os.memfd_create("worker"), "rb")
        with sigterm_blocked():  # as all that it starts (supervise.py)
            self._process = start_apart(
                [sys.executable, "-m", MODULE, str(os.getpid())],
                environment=worker_environment(self._plan),
                output=self._said,
                told=True,
            )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        with suppress(OSError):  # the order has all variables, and finds room where nobody reads yet
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return self

    def begin(self, places: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Hand it the run, whose configuration is written, with `surroundings.places`."""
        run_dir = self._plan.run_dir
        self.log_words()
        environment = worker_environment(self._plan) | dict(places)
        with suppress(BrokenPipeError):  # it has ended already, and its log says why
            give_order(self._pipe, Order(str(run_dir.config), str(run_dir.log), environment))
        return self._process

    def log_words(self) -> None:
        """Write to the run's log what the worker has said before it was told of it, or has died without being told."""
        words = os.pread(self._said.fileno(), os.fstat(self._said.fileno()).st_size, self._logged)
        with suppress(OSError), self._plan.run_dir.log.open("ab") as log:  # a full disk ends no run
            log.write(words)
            self._logged += len(words)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._pipe.close()
        self._said.close()

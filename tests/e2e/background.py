"""The end-to-end runs beside the other tests, one after another: a training run, its evaluation, a whole pipeline.

Most of each is one process after another that imports torch, verl and vLLM, and a core beside it is free while other
tests wait for their programs. So they begin with the session, and the tests that wait for them come last.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from e2e.pipeline_run import run_whole_pipeline
from e2e.training_run import evaluate_last_checkpoint, run_interrupt_and_resume
from filelock import FileLock

from verl_coder.files import write_atomically

RUNS: dict[str, Callable[[Path], Any]] = {
    "training_run": run_interrupt_and_resume,
    "evaluation": evaluate_last_checkpoint,
    "pipeline_run": run_whole_pipeline,
}
"""Name of the fixture -> what makes its value, in a folder that all share; in the order in which they run."""

_TESTS = Path(__file__).resolve().parent.parent
_PROGRAM = (
    f"import sys; sys.path.insert(0, {str(_TESTS)!r}); from e2e.background import main; main(*sys.argv[1:])"
)
_DETACHED = """
import subprocess, sys
with open(sys.argv[1], "w") as errors:
    command = [sys.executable, *sys.argv[2:]]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": errors}
    print(subprocess.Popen(command, start_new_session=True, **quiet).pid)
"""


class BackgroundRuns:
    """The runs beside the other tests. They are no descendants of theirs: some of them look at all that they have.

    The first worker of a session begins them, the last one that leaves ends what still runs.
    """

    def __init__(self, folder: Path, names: list[str]) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._errors = folder, folder / "errors.txt"
        self._lock = FileLock(folder / "lock")
        self._pid, self._user = folder / "pid", folder / f"user_{os.getpid()}"
        with self._lock:
            self._user.touch()
            if not self._pid.exists():
                command = [sys.executable, "-c", _DETACHED, str(self._errors)]
                command += ["-c", _PROGRAM, str(folder), *names]
                self._pid.write_text(subprocess.check_output(command, text=True))

    def _process(self) -> psutil.Process:
        return psutil.Process(int(self._pid.read_text()))

    def result(self, name: str) -> dict[str, Any]:
        """Wait for the end of one; AssertionError with its own words when it failed."""
        made, failed = self._folder / f"{name}.json", self._folder / f"{name}.failed"
        with contextlib.suppress(psutil.NoSuchProcess):
            process = self._process()
            while not (made.is_file() or failed.is_file()) and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.2)
        assert made.is_file(), (failed if failed.is_file() else self._errors).read_text()
        value: dict[str, Any] = json.loads(made.read_text())
        return value

    def end(self) -> None:
        """Leave them. Interrupt the one at work where nobody waits any more; launchers end what they started."""
        with self._lock:
            self._user.unlink()
            if any(self._user.parent.glob("user_*")):
                return
        try:
            process = self._process()
            launchers = process.children()
            process.kill()
        except psutil.NoSuchProcess:
            return
        for launcher in launchers:
            launcher.send_signal(signal.SIGINT)
        psutil.wait_procs(launchers, timeout=60)


def main(folder: str, *names: str) -> None:
    """Each of the named runs, and what it left or how it failed in a file of its name."""
    for name in names:
        try:
            value = json.dumps(asdict(RUNS[name](Path(folder))))
        except Exception:
            write_atomically(Path(folder) / f"{name}.failed", traceback.format_exc())
        else:
            write_atomically(Path(folder) / f"{name}.json", value)

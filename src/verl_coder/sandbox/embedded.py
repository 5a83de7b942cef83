"""The embedded server as a child process of whoever needs a sandbox."""

import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import verl_coder
from verl_coder.errors import SandboxUnavailableError


class EmbeddedSandbox:
    """Context manager: a server on loopback, stopped with everything it started, also when this process dies.

    `url` and `pid` are set inside; `extra` are further arguments of `verl-coder sandbox serve`.
    SandboxUnavailableError with the server's own message when it does not start.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        isolation: str = "auto",
        extra: Sequence[str] = (),
        start_timeout_s: float = 90.0,
    ) -> None:
        self._arguments = ["--port", str(port), "--isolation", isolation, *extra]
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._alive_pipe = -1
        self.url = ""

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> "EmbeddedSandbox":
        try:
            self._log = tempfile.TemporaryFile()
            self._start()
            self._wait_until_ready()
        except OSError as error:
            self.__exit__(None, None, None)
            raise SandboxUnavailableError(f"the embedded sandbox cannot be started: {error}") from error
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        read, self._alive_pipe = os.pipe()
        command = [sys.executable, "-m", "verl_coder.cli", "sandbox", "serve", *self._arguments]
        try:
            self._process = subprocess.Popen(
                [*command, "--parent-fd", str(read)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                pass_fds=(read,),
                env=_environment(),
                start_new_session=True,  # a terminal's Ctrl-C and its end reach the parent, which may be saving
            )
        finally:
            os.close(read)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            for line in self.log().splitlines():
                if line.startswith("sandbox: http://") and self._answers(line.split()[1]):
                    self.url = line.split()[1]
                    return
            time.sleep(0.01)
        raise SandboxUnavailableError(f"the embedded sandbox did not start: {self.log().strip()[-500:]}")

    def _answers(self, url: str) -> bool:
        """On a busy machine the answer may take longer than one call waits."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(f"{url}/v1/ping", timeout=5).close()
        except (OSError, http.client.HTTPException):
            return False
        return True

    def log(self) -> str:
        """What the server printed so far."""
        assert self._log is not None
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alive_pipe >= 0:
            os.close(
                self._alive_pipe
            )  # the server ends with it, also where it was started with SIGTERM blocked
            self._alive_pipe = -1
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        if self._log is not None:
            self._log.close()


def _environment() -> dict[str, str]:
    """This process's, changed so that the server imports the same copy of this package."""
    source = str(Path(verl_coder.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}

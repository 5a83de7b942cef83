"""The server's end of a zygote: starts it, asks it for slots, starts another when it died."""

import asyncio
import contextlib
import marshal
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import verl_coder
from verl_coder.errors import ConfigError
from verl_coder.sandbox.guest.slot_config import SlotConfig
from verl_coder.sandbox.slot import Slot, SlotLost

_START_TIMEOUT_S = 20.0
FLAVOURS = ("lean", "full")
_SOURCE_FOLDER = str(Path(verl_coder.__file__).parents[1])
# The same copy of this package as the server's, wherever that came from, and no trace of it for programs.
_START_ZYGOTE = f"""\
import sys
sys.path.insert(0, {_SOURCE_FOLDER!r})
from verl_coder.sandbox.guest.zygote import main
sys.path.pop(0)
main()
"""


class Nursery:
    """One zygote; its flavour says what its programs find loaded."""

    def __init__(self, flavour: str) -> None:
        self.flavour = flavour
        self.address_space = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Start the zygote and wait until its modules are loaded."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a plain fork, microseconds
                [sys.executable, "-c", _START_ZYGOTE, str(theirs.fileno()), self.flavour],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_program_environment(),
                start_new_session=True,
            )
        loop = asyncio.get_running_loop()
        answer = await asyncio.wait_for(loop.sock_recv(ours, 4096), _START_TIMEOUT_S)
        if not answer:
            ours.close()
            raise ConfigError("the sandbox's zygote died at start: see its message above")
        self.address_space = marshal.loads(answer)["address_space"]
        self._socket = ours

    async def make(self, config: SlotConfig) -> Slot:
        """A new slot, ready; SlotLost with the reason when it cannot be made."""
        slot = Slot(asyncio.get_running_loop(), config.slot, self.flavour)
        message = marshal.dumps(asdict(config))
        descriptors = [slot.keeper_status.fileno(), slot.keeper_control.fileno()]
        try:
            for attempt in range(3):
                try:
                    if self._socket is None:
                        raise OSError("the zygote is gone")
                    socket.send_fds(self._socket, [message], descriptors)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.01)
                except OSError as error:
                    if attempt:
                        raise SlotLost(f"no zygote: {error}") from error
                    await self._revive()
        finally:
            slot.handed_over()
        try:
            await asyncio.wait_for(asyncio.shield(slot.ready), _START_TIMEOUT_S)
        except (TimeoutError, SlotLost) as error:
            slot.close()
            slot.force()
            raise SlotLost(str(error) or "its keeper is not ready in time") from error
        return slot

    async def _revive(self) -> None:
        async with self._lock:
            if self._process is not None and self._process.poll() is None and self._socket is not None:
                return
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            await self.start()

    def hang_up(self) -> None:
        """Close the socket: the zygote ends by itself."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def reap(self) -> None:
        """Wait for the zygote; kill it when it does not end."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(3.0)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _program_environment() -> dict[str, str]:
    """Environment of every program: nothing of the server's."""
    bins = dict.fromkeys([os.path.join(sys.prefix, "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
    return {
        "PATH": ":".join(bins),
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }

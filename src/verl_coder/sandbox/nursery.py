"""The server's end of a zygote: starts it, asks it for slots, starts another when it died."""

import asyncio
import marshal
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import verl_coder
from verl_coder.errors import ConfigError
from verl_coder.sandbox.guest.slot_config import SlotConfig
from verl_coder.sandbox.slot import Slot, SlotLost

_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 3.0
_STDERR_TAIL = 1500
_HASH_SEED = str(secrets.randbelow(1 << 32))
FLAVOURS = ("lean", "full")
JUDGE_FLAVOURS = ("judge-lean", "judge-full")
"""The same for the judges of pairs: forks of a zygote of their own, so that no candidate shares their addresses."""
_SOURCE_FOLDER = str(Path(verl_coder.__file__).parents[1])
# The zygote imports the server's copy of this package and no module of the folder that it is started in, which
# would come first; programs find neither on sys.path.
_START_ZYGOTE = f"""\
import sys
sys.path[0] = {_SOURCE_FOLDER!r}
from verl_coder.sandbox.guest.zygote import main
sys.path.pop(0)
main()()
"""


class Nursery:
    """One zygote; its flavour says which modules its programs find loaded, `held` which program may be named."""

    def __init__(self, flavour: str, held: bytes = b"") -> None:
        self.flavour = flavour
        self._held = held
        self.address_space = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Start the zygote and wait until its modules are loaded; ConfigError with its stderr when it fails."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        if self._stderr is not None:
            self._stderr.close()
        # Open as long as the zygote lives: the message of a later failure quotes it.
        self._stderr = tempfile.TemporaryFile(prefix="verl-coder-zygote-")  # noqa: SIM115
        with theirs, tempfile.TemporaryFile() as held:
            held.write(self._held)
            held.seek(0)
            numbers = [theirs.fileno(), *([held.fileno()] if self._held else [])]
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a plain fork, microseconds
                [sys.executable, "-c", _START_ZYGOTE, str(numbers[0]), self.flavour, str([*numbers, -1][1])],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=_program_environment(),
                start_new_session=True,
            )
        loop = asyncio.get_running_loop()
        try:
            answer = await asyncio.wait_for(loop.sock_recv(ours, 4096), _START_TIMEOUT_S)
            trouble = "" if answer else "died at start"
        except (TimeoutError, OSError) as error:
            trouble = (
                f"did not start within {_START_TIMEOUT_S:g} s"
                if isinstance(error, TimeoutError)
                else str(error)
            )
        except BaseException:
            ours.close()
            self._process.kill()
            await self.reap()
            raise
        if trouble:
            ours.close()
            await self.reap()
            output = self._last_output() or "no message"
            raise ConfigError(
                f"the sandbox's zygote ({sys.executable}, {_SOURCE_FOLDER}) {trouble}: {output}"
            )
        self.address_space = marshal.loads(answer)["address_space"]
        self._socket = ours
        if output := self._last_output():
            print(output, file=sys.stderr, flush=True)

    def _last_output(self) -> str:
        """The end of what the zygote wrote to stderr."""
        if self._stderr is None:
            return ""
        size = os.fstat(self._stderr.fileno()).st_size
        data = os.pread(self._stderr.fileno(), _STDERR_TAIL, max(0, size - _STDERR_TAIL))
        return data.decode(errors="replace").strip()

    async def make(self, config: SlotConfig) -> Slot:
        """A new slot, ready; SlotLost with the reason when it cannot be made."""
        slot = Slot(asyncio.get_running_loop(), config.slot, self.flavour)
        message = marshal.dumps(config._asdict())
        descriptors = [slot.keeper_status.fileno(), slot.keeper_control.fileno()]
        try:
            # Another zygote may have to start before the slot does.
            async with asyncio.timeout(2 * _START_TIMEOUT_S):
                await self._hand_over(slot, message, descriptors)
                await asyncio.shield(slot.ready)
        except TimeoutError as error:
            _abandon(slot)
            raise SlotLost("its keeper is not ready in time") from error
        except BaseException:
            # Also where the client is gone that it was to be for.
            _abandon(slot)
            raise
        return slot

    async def _hand_over(self, slot: Slot, message: bytes, descriptors: list[int]) -> None:
        """Send the zygote the order for a slot; another zygote is started where there is none."""
        try:
            # One at a time: a full socket holds some 49 orders, and whoever comes next waits as well.
            async with self._lock:
                try:
                    await self._send(message, descriptors)
                except OSError:
                    await self._revive()
                    try:
                        await self._send(message, descriptors)
                    except OSError as error:
                        raise SlotLost(f"no zygote: {error}") from error
        finally:
            slot.handed_over()

    async def _send(self, message: bytes, descriptors: list[int]) -> None:
        """Send one order, once the socket takes it; OSError where the zygote is gone."""
        while self._socket is not None:
            try:
                socket.send_fds(self._socket, [message], descriptors)
                return
            except BlockingIOError:
                await _writable(self._socket)
        raise OSError("the zygote is gone")

    async def _revive(self) -> None:
        """Start another zygote in the place of one that takes no orders any more; the caller holds the lock."""
        self.hang_up()
        await self.reap()
        await self.start()

    def hang_up(self) -> None:
        """Close the socket: the zygote ends by itself."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def reap(self) -> None:
        """Wait for the zygote, while other requests go on; kill it when it does not end."""
        process = self._process
        if process is None:
            return
        deadline = time.monotonic() + _END_TIMEOUT_S
        try:
            while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


async def _writable(end: socket.socket) -> None:
    """Wait until a full socket takes a message, or its other end is gone."""
    loop, descriptor, ready = asyncio.get_running_loop(), end.fileno(), asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)


def _abandon(slot: Slot) -> None:
    slot.close()
    slot.force()


def _program_environment() -> dict[str, str]:
    """Environment of every program: from the server's it has only what the same interpreter needs to start."""
    interpreter = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}
    bins = dict.fromkeys([os.path.join(sys.prefix, "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
    return interpreter | {
        "PATH": ":".join(bins),
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # One seed for all zygotes: a set of strings has one order in the judge and in the candidate of a pair.
        "PYTHONHASHSEED": _HASH_SEED,
        "PYTHONNOUSERSITE": "1",
    }

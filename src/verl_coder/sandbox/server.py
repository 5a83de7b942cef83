"""The embedded server: start the pool, listen, and stop without leaving processes or files."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import traceback
from dataclasses import dataclass

from verl_coder.errors import ConfigError
from verl_coder.sandbox.executor import Executor
from verl_coder.sandbox.http import HttpProtocol
from verl_coder.sandbox.metrics import Metrics
from verl_coder.sandbox.owners import Owners
from verl_coder.sandbox.pool import Pool, PoolSettings
from verl_coder.sandbox.routes import Api
from verl_coder.sandbox.routing import SLOTS_HEADER
from verl_coder.sandbox.sessions import Sessions

ISOLATION_HEADER = "x-sandbox-isolation"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """All settings of `verl-coder sandbox serve`."""

    host: str
    port: int
    pool: PoolSettings
    output_cap: int
    judge_cap: int
    fetch_cap: int
    max_sessions: int
    owner_grace_s: float
    parent_fd: int = -1


async def serve(settings: ServerSettings) -> None:
    """Run until SIGTERM, SIGINT or the end of the parent; ConfigError when it cannot start."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if settings.parent_fd >= 0:
        _watch_parent(loop, settings.parent_fd, stop)
    pool = Pool(settings.pool)
    executor: Executor | None = None
    sessions: Sessions | None = None
    server: asyncio.Server | None = None
    connections: set[HttpProtocol] = set()
    try:
        await pool.start()
        executor = Executor(
            pool, output_cap=settings.output_cap, judge_cap=settings.judge_cap, fetch_cap=settings.fetch_cap
        )
        owners = Owners(settings.owner_grace_s)
        sessions = Sessions(
            pool, owners, null=executor.null, cap=settings.max_sessions, output_cap=settings.output_cap
        )
        metrics = Metrics(
            running=lambda: pool.busy,
            queued=lambda: pool.queued,
            replaced=lambda: pool.replaced,
            sessions=lambda: len(sessions),
        )
        api = Api(pool, executor, sessions, metrics)
        header = f"{ISOLATION_HEADER}: {pool.mode}; {pool.protection}\r\n{SLOTS_HEADER}: {settings.pool.workers}\r\n"
        server = await _listen(loop, settings, lambda: HttpProtocol(api.handle, header, connections))
        port = server.sockets[0].getsockname()[1]
        print(
            f"sandbox: {_address(settings.host, port)} with {settings.pool.workers} slots; "
            f"protection: {pool.protection}",
            flush=True,
        )
        if pool.skipped:
            print(f"sandbox: stronger protection is not allowed here: {pool.skipped}", flush=True)
        await _tend(pool, executor, sessions, stop)
    finally:
        if sessions is not None:
            sessions.stop()
        if server is not None:
            server.close()
        for connection in list(connections):
            connection.close()
        await pool.close()
        if executor is not None:
            executor.close()


async def _listen(loop, settings, factory) -> asyncio.Server:  # type: ignore[no-untyped-def]
    try:
        return await loop.create_server(factory, settings.host, settings.port, backlog=1024)
    except OSError as error:
        other = (
            "--port"
            if error.errno in (errno.EADDRINUSE, errno.EACCES)
            else "--host, an address of this machine"
        )
        raise ConfigError(
            f"cannot listen on {_host_port(settings.host, settings.port)}: {error}: choose another {other}"
        ) from error


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(host: str, port: int) -> str:
    """Where the server is found; what means all addresses is one for this host only."""
    url = f"http://{_host_port(host, port)}"
    return f"{url} (every address of {socket.gethostname()})" if host in ("0.0.0.0", "::") else url


async def _tend(pool: Pool, executor: Executor, sessions: Sessions, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            pool.drop_dead_free_slots()
            executor.oom.sample()
            await sessions.close_idle()
        except Exception:
            # One round that fails is no reason to end the requests of all clients.
            traceback.print_exc()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5)


def _watch_parent(loop: asyncio.AbstractEventLoop, descriptor: int, stop: asyncio.Event) -> None:
    """Stop when the other end of the parent's pipe closes, that is, when the parent is gone."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            os.read(descriptor, 1)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()


def run(settings: ServerSettings) -> None:
    """Blocking entry point, on uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))
    sys.stdout.flush()

"""Sessions end with the process of their client, however that ends; not with a connection that broke."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web

from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

_CLIENT = """
import asyncio, sys
from verl_coder.sandbox import SandboxClient

async def main():
    async with SandboxClient(sys.argv[1]) as client:
        sessions = [await client.open_session(kind=kind, code="x = 1") for kind in ("python", "debugger")]
        print("open", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""
_GRACE_S = "0.7"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[EmbeddedSandbox]:
    """A server that waits little for owners."""
    with EmbeddedSandbox(extra=["--owner-grace-s", _GRACE_S]) as server:
        yield server


async def _count(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url + "/metrics") as response:
        text = await response.text()
    line = next(line for line in text.splitlines() if line.startswith("sandbox_sessions "))
    return int(float(line.split()[1]))


async def _ended(url: str, count: int = 0) -> bool:
    for _ in range(100):
        if await _count(url) == count:
            return True
        await asyncio.sleep(0.1)
    return False


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
async def test_a_client_that_is_killed_leaves_no_session(sandbox: EmbeddedSandbox, by: int) -> None:
    client = await create_subprocess_exec(sys.executable, "-c", _CLIENT, sandbox.url, stdout=PIPE)
    assert client.stdout is not None and await client.stdout.readline() == b"open\n"
    await asyncio.sleep(2 * float(_GRACE_S))
    assert await _count(sandbox.url) == 2
    client.send_signal(by)
    await client.wait()
    assert await _ended(sandbox.url)


async def test_a_client_that_is_closed_leaves_none_that_it_forgot(sandbox: EmbeddedSandbox) -> None:
    async with SandboxClient(sandbox.url) as client:
        await client.open_session(kind="python")
    assert await _ended(sandbox.url)


@contextlib.asynccontextmanager
async def _relay(url: str) -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """A way to the server whose connections can be cut: (URL, one end of each connection)."""
    writers: list[asyncio.StreamWriter] = []
    port = int(url.rsplit(":", 1)[1])

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, ours))
        await asyncio.gather(carry(reader, ours), carry(theirs, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", writers
    finally:
        server.close()


async def test_a_broken_connection_ends_no_session() -> None:
    with EmbeddedSandbox(extra=["--owner-grace-s", "3"]) as server:
        async with _relay(server.url) as (url, writers), SandboxClient(url) as client:
            session = await client.open_session(kind="python")
            await session.run("x = 5")
            for _ in range(3):  # in all longer than the grace
                for writer in writers:
                    writer.transport.abort()
                writers.clear()
                await asyncio.sleep(1.2)
            assert (await session.run("x"))["result"] == "5"


async def test_a_server_without_owners_is_asked_once() -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/sessions":
            return web.json_response({"status": "Success", "session_id": "s"})
        return web.json_response({"detail": "Not Found"}, status=404)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with SandboxClient(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
        for _ in range(3):
            await client.open_session(kind="python")
        await asyncio.sleep(1.5)
    await runner.cleanup()
    assert [path.rpartition("/")[0] for path in asked if path != "/sessions"] == ["/owners"]

"""The HTTP server: what is no plain request of HTTP/1.1, and who has left."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from verl_coder.sandbox.http import Handler, HttpProtocol, Response

UPGRADE = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
)
PLAIN = b"GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Echo:
    """Answers with what it was asked, or never."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def handle(self, method: str, path: str, body: bytes) -> Response:
        self.asked.append((method, path, body))
        if path == "/never":
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return Response(status=200, body=b"%d." % len(self.asked))


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def address(echo: Echo) -> AsyncIterator[tuple[str, int]]:
    handler: Handler = echo.handle
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpProtocol(handler, "", set()), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2]


@pytest.mark.parametrize("pieces", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        (b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n", ("GET", "/v1/ping", b"")),
        (
            b"POST /run_code HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"Content-Length: 4\r\n\r\nbody",
            ("POST", "/run_code", b"body"),
        ),
        (
            b"POST /run_code HTTP/1.1\r\nHost: x\r\n"
            + UPGRADE
            + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            ("POST", "/run_code", b"body"),
        ),
    ],
    ids=["get", "post", "chunked"],
)
async def test_a_wish_for_another_protocol_is_passed_over(
    echo: Echo, address: tuple[str, int], request_: bytes, asked: tuple[str, str, bytes], pieces: int
) -> None:
    reader, writer = await asyncio.open_connection(*address)
    sent = request_ + PLAIN
    for start in range(0, len(sent), pieces):
        writer.write(sent[start : start + pieces])
        await asyncio.sleep(0)
    answer = await reader.read()
    writer.close()
    assert echo.asked == [asked, ("GET", "/plain", b"")]
    assert answer.count(b"HTTP/1.1 200") == 2 and answer.endswith(b"2.")


async def test_what_is_no_http_closes_the_connection(address: tuple[str, int]) -> None:
    for sent in (b"\x16\x03\x01 hello\r\n\r\n", b"CONNECT example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n"):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_closes_its_half_has_left(echo: Echo, address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(PLAIN.replace(b"/plain", b"/never"))
    await echo.begun.wait()
    writer.write_eof()
    await echo.cancelled.wait()
    assert await reader.read() == b""
    writer.close()

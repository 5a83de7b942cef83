"""A small HTTP/1.1 server: httptools parses the requests, a handler answers them with bytes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httptools

_REASONS = {
    200: "OK", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large",
    422: "Unprocessable Content", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
MAX_BODY_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Response:
    """Status, body and its media type."""

    status: int
    body: bytes
    media_type: str = "application/json"
    retry_after_s: int = 0
    undo: Callable[[], Awaitable[None]] | None = None
    """What is to be done where the connection is lost before the answer was written."""


Handler = Callable[[str, str, bytes], Awaitable[Response]]
_undoing: set[asyncio.Future[None]] = set()


def json_response(value: Any, status: int = 200, *, retry_after_s: int = 0) -> Response:
    """A JSON answer; lone surrogates of a program's output are escaped, so it is always valid."""
    return Response(status=status, body=json.dumps(value).encode(), retry_after_s=retry_after_s)


class HttpProtocol(asyncio.Protocol):
    """One connection: requests are answered one after the other; a closed connection cancels its request.

    One that is closed for writing alone is closed: nothing tells it from that of a client that has gone.
    """

    def __init__(self, handler: Handler, extra_headers: str, connections: "set[HttpProtocol]") -> None:
        self._handler = handler
        self._extra_headers = extra_headers
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._queue: list[tuple[str, str, bytes, bool]] = []
        self._task: asyncio.Task[None] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.close()

    def _pass_over_upgrade(self, rest: bytes) -> None:
        """Read the request anew without its wish for another protocol (RFC 9110, 7.8): the parser left out its body."""
        if self._parser.get_method() == b"CONNECT":
            self.close()
            return
        head = [
            b"%s %s HTTP/%s"
            % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())
        ]
        head += [
            b"%s: %s" % header for header in self._headers if header[0].lower() not in (b"upgrade", b"expect")
        ]
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(head) + b"\r\n\r\n" + rest)

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.close()

    # ---- httptools

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body, self._size = b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if name.lower() == b"expect" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= MAX_BODY_BYTES:
            self._body.append(body)
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        method = self._parser.get_method().decode()
        path = self._url.split(b"?", 1)[0].decode("latin-1")
        body = b"".join(self._body)
        if self._size > MAX_BODY_BYTES:
            path = "\0too large"
        self._queue.append((method, path, body, self._parser.should_keep_alive()))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            while self._queue and self._transport is not None:
                method, path, body, keep_alive = self._queue.pop(0)
                if path == "\0too large":
                    response = json_response({"detail": f"body over {MAX_BODY_BYTES} bytes"}, 413)
                else:
                    response = await self._handler(method, path, body)
                self._write(response, keep_alive)
        finally:
            self._task = None

    def _write(self, response: Response, keep_alive: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            if response.undo is not None:
                # Not in this task, which the end of the connection cancels.
                undoing = asyncio.ensure_future(response.undo())
                _undoing.add(undoing)
                undoing.add_done_callback(_undoing.discard)
            return
        head = (
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}\r\n"
            f"content-type: {response.media_type}\r\ncontent-length: {len(response.body)}\r\n{self._extra_headers}"
        )
        if response.retry_after_s:
            head += f"retry-after: {response.retry_after_s}\r\n"
        if not keep_alive:
            head += "connection: close\r\n"
        self._transport.write(head.encode() + b"\r\n" + response.body)
        if not keep_alive:
            self._transport.close()

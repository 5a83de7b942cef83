"""A server in front of a sandbox that changes what is asked or what is answered."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Body = dict[str, Any]
Lie = Callable[[str, Body, Callable[[Body], Body]], Body | int]
"""(path, request, ask the true sandbox) -> the answer, or an HTTP status in its place."""
_HEADER = "x-sandbox-isolation"


@contextmanager
def lying(true_url: str, lie: Lie, *, isolation: str | None = "namespaces") -> Iterator[str]:
    """Address of the server; pings and refusals (404, 405) are those of the true one."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            answer = lie(self.path, {}, lambda body: {})
            if isinstance(answer, int):
                return self._send(answer, b"{}")
            try:
                with opener.open(true_url + self.path) as response:
                    return self._send(200, response.read())
            except urllib.error.HTTPError as error:
                return self._send(error.code, error.read())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))

            def ask(body: Body) -> Body:
                request = urllib.request.Request(true_url + self.path, data=json.dumps(body).encode())
                with opener.open(request) as response:
                    answer: Body = json.loads(response.read())
                    return answer

            answer = lie(self.path, body, ask)
            if isinstance(answer, int):
                return self._send(answer, b"{}")
            return self._send(200, json.dumps(answer).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if isolation is not None:
                self.send_header(_HEADER, isolation)
            self.end_headers()
            self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

"""A server that does not start is one error, and one that is slow to answer is waited for."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox.embedded import EmbeddedSandbox


def test_a_machine_without_room_for_a_process_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", full)
    with pytest.raises(SandboxUnavailableError, match=r"cannot be started: .*Cannot allocate memory"):
        EmbeddedSandbox().__enter__()


def test_a_ping_without_an_answer_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if len(asked) > 2:  # before that the connection ends without a word
                self.send_response(200)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"

    def start(self: EmbeddedSandbox) -> None:
        assert self._log is not None
        self._log.write(f"sandbox: {url}\n".encode())
        self._log.flush()
        self._process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])

    monkeypatch.setattr(EmbeddedSandbox, "_start", start)
    with EmbeddedSandbox() as sandbox:
        assert sandbox.url == url and asked == ["/v1/ping"] * 3
    server.shutdown()
    server.server_close()

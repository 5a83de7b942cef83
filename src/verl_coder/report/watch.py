"""`verl-coder report --watch`: the pages on loopback, built anew as a run goes on.

Covered: only 127.0.0.1 is bound, a request whose Host is another name (DNS rebinding) is refused, only GET and HEAD
are answered, only files of the report are served, and other sites may not embed or read them. Not covered: other users
of the same machine can open the page.
"""

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError, VerlCoderError
from verl_coder.report.build import Report, check_target, copy_page, watched
from verl_coder.words import counted

LOOPBACK = "127.0.0.1"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


class _Handler(SimpleHTTPRequestHandler):
    """Files below the report's folder."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a file."""
        if self._is_allowed():
            super().do_GET()

    def do_HEAD(self) -> None:
        """Answer with the headers of a file."""
        if self._is_allowed():
            super().do_HEAD()

    def _is_allowed(self) -> bool:
        """Refuses other hosts, and whatever is not a file of the page."""
        port = self.connection.getsockname()[1]
        if self.headers.get("Host") not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this page is served to this machine only")
            return False
        path = self.path.partition("?")[0]
        target = Path(self.translate_path(path if path != "/" else "/index.html"))
        root = Path(self.directory).resolve()
        if target.suffix not in _TYPES or not target.resolve().is_relative_to(root) or not target.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        return True

    def guess_type(self, path: Any) -> str:
        """The type that a file's ending says; with nosniff nothing else counts."""
        return f"{_TYPES.get(Path(path).suffix, 'application/octet-stream')}; charset=utf-8"

    def end_headers(self) -> None:
        """The same protections on every answer."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Frame-Options", "DENY")
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Requests are nobody's news."""


def start_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Serve `folder` on 127.0.0.1 in a thread; ConfigError where the port is taken."""

    def handler(*arguments: Any) -> _Handler:
        return _Handler(*arguments, directory=str(folder))

    try:
        server = ThreadingHTTPServer((LOOPBACK, port), handler)
    except OSError as error:
        raise ConfigError(
            f"port {port} on {LOOPBACK} cannot be had ({error.strerror}): choose another --port"
        ) from error
    server.daemon_threads = True
    # It looks so often whether it is to end, by itself every half second.
    ends = {"poll_interval": 0.05}
    threading.Thread(target=server.serve_forever, kwargs=ends, name="report-server", daemon=True).start()
    return server


def serve(report: Report, out: Path, *, port: int, every_s: float, say: Callable[[str], None]) -> None:
    """Build, serve, and build again whenever a file of the folders has changed, until Ctrl-C."""
    check_target(out)
    copy_page(out)
    with watched(out):
        _serve(report, out, port=port, every_s=every_s, say=say)


def _serve(report: Report, out: Path, *, port: int, every_s: float, say: Callable[[str], None]) -> None:
    # Before it is read: what changes meanwhile is new.
    seen = _state(report)
    report.write_data(out)
    server = start_server(out, port)
    say(
        f"http://{LOOPBACK}:{server.server_address[1]}/ shows {counted(len(report.inputs), 'folder')}; Ctrl-C ends it"
    )
    try:
        while True:
            time.sleep(every_s)
            if (now := _state(report)) != seen:
                try:
                    report.write_data(out)
                    seen = now
                except (OSError, VerlCoderError) as error:
                    say(f"the page stays as it was, and is tried again: {error}")
    except KeyboardInterrupt:
        say(f"the pages stay in {out}")
    finally:
        server.shutdown()
        server.server_close()


def _state(report: Report) -> dict[str, tuple[int, int]]:
    """Size and time of each file that the report reads."""
    paths = report.comparison_files
    for folder in report.inputs:
        for pattern in ("*.json*", "*.yaml", "*.parquet", "*/*.jsonl"):
            paths += folder.path.glob(pattern)
    found = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found

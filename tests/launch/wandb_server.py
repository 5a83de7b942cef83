"""A scripted W&B server on loopback: what wandb's own client needs, and the ways a server can fail."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer:
    """Keeps the history of each run. `mode` is changed at will: ok, hang, refuse (HTTP 500) or cut (half an answer)."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.runs: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.files: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self._stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                outer.requests.append(f"{self.command} {self.path}")
                outer._answer(self, body)

            do_GET = do_POST = do_PUT = _serve

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that was killed resets its connection: nothing to tell."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; whoever hangs is let go."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def history(self, run_id: str) -> list[dict[str, Any]]:
        """The run's history rows, in the order of their arrival."""
        with self.lock:
            run = self.runs.get(run_id, {"history": {}})
            return [row for _, row in sorted(run["history"].items())]

    # ---- answers ------------------------------------------------------------------------------

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        mode = self.mode
        if mode == "hang":
            while self.mode == "hang" and not self._stop.is_set():
                time.sleep(0.05)
            handler.close_connection = True
            return
        if mode == "refuse":
            self._send(handler, 500, {"error": "scripted"})
            return
        if mode == "cut":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"data": {')
            handler.wfile.flush()
            handler.close_connection = True
            return
        path = handler.path
        if path.startswith("/graphql"):
            self._send(handler, 200, self._graphql(json.loads(body or b"{}")))
        elif path.endswith("/file_stream"):
            self._stream(path.split("/")[-2], json.loads(body or b"{}"))
            self._send(handler, 200, {"exitcode": None, "limits": {}})
        elif path.startswith("/upload/"):
            self.files[path.removeprefix("/upload/").split("?")[0]] = body
            self._send(handler, 200, {})
        else:
            self._send(handler, 200, {})

    def _send(self, handler: BaseHTTPRequestHandler, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _run(self, run_id: str) -> dict[str, Any]:
        return self.runs.setdefault(run_id, {"history": {}, "summary": {}, "config": {}})

    def _stream(self, run_id: str, body: dict[str, Any]) -> None:
        with self.lock:
            run = self._run(run_id)
            part = (body.get("files") or {}).get("wandb-history.jsonl")
            if part:
                for index, line in enumerate(part["content"]):
                    run["history"][part["offset"] + index] = json.loads(line)
            summary = (body.get("files") or {}).get("wandb-summary.json")
            if summary and summary["content"]:
                run["summary"] = json.loads(summary["content"][-1])

    def _graphql(self, body: dict[str, Any]) -> dict[str, Any]:
        query, variables = body.get("query", ""), body.get("variables") or {}
        match = re.search(r"(query|mutation)\s+(\w+)", query)
        name = match.group(2) if match else ""
        self.requests.append(f"graphql {name} {json.dumps(variables)[:200]}")
        return {"data": self._data(name, query, variables)}

    def _data(self, name: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in query:
            run_id = variables.get("name") or variables.get("id")
            with self.lock:
                inserted = run_id not in self.runs
                self._run(run_id)["config"] = json.loads(variables.get("config") or "{}")
            entity = {"id": "entity", "name": "tests"}
            bucket = {
                "id": f"id-{run_id}",
                "name": run_id,
                "displayName": variables.get("displayName") or run_id,
                "description": None,
                "config": "{}",
                "sweepName": None,
                "project": {"id": "project", "name": variables.get("project"), "entity": entity},
                "historyLineCount": len(self.history(run_id)),
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}
        if "createRunFiles" in query:
            files = [
                {"name": file, "uploadUrl": f"{self.url}/upload/{file}"}
                for file in variables.get("files", [])
            ]
            return {"createRunFiles": {"runID": "id", "uploadHeaders": [], "files": files}}
        if "bucket" in query:
            run_id = variables.get("name") or variables.get("run")
            return {"model": {"id": "project", "name": "project", "bucket": self._bucket(run_id)}}
        if "viewer" in query:
            viewer = {
                "id": "viewer",
                "entity": "tests",
                "username": "tests",
                "flags": "{}",
                "teams": {"edges": []},
            }
            return {"viewer": viewer, "serverInfo": {"cliVersionInfo": {}, "features": []}}
        if "serverInfo" in query:
            return {"serverInfo": {"cliVersionInfo": {}, "features": [], "latestLocalVersionInfo": None}}
        if "createArtifact(" in query:
            # "Committed" means that the server has these bytes already: the client then uploads none.
            artifact = {"id": "artifact", "state": "COMMITTED", "artifactSequence": {"id": "sequence"}}
            return {"createArtifact": {"artifact": artifact}}
        if "artifactType" in query:
            return {"project": None}
        return {}

    def _bucket(self, run_id: str) -> dict[str, Any] | None:
        if run_id not in self.runs:
            return None
        history = self.history(run_id)
        last = history[-1] if history else {}
        return {
            "id": f"id-{run_id}",
            "name": run_id,
            "summaryMetrics": json.dumps(self.runs[run_id]["summary"] or last),
            "displayName": run_id,
            "logLineCount": 0,
            "historyLineCount": len(history),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(last)] if last else []),
            "eventsTail": "[]",
            "config": json.dumps(self.runs[run_id]["config"]),
            "tags": [],
            "wandbConfig": json.dumps({"t": {"1": []}}),
            "lastHistoryStep": max((row.get("_step", -1) for row in history), default=-1),
        }


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A server for a `with` block."""
    server = WandbServer()
    try:
        yield server
    finally:
        server.close()

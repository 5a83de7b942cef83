"""A hub name is downloaded by its files, from a hub on loopback, and then read like a local folder."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from verl_coder.data.dataset import dataset_files, load_dataset_file

_COMMIT = "0" * 40


@pytest.fixture
def hub() -> Iterator[str]:
    """A server with the two endpoints that a download needs: the file list and the files."""
    record = load_dataset_file("apps").example_records["all"]
    files = {
        name: (json.dumps({**record, "problem_id": number}) + "\n").encode()
        for number, name in enumerate(("train.jsonl", "test.jsonl"))
    } | {"apps.py": b"raise RuntimeError('the loading script ran')"}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/api/datasets/codeparrot/apps/tree/"):
                entries = [
                    {"type": "file", "path": name, "size": len(data), "oid": _COMMIT}
                    for name, data in files.items()
                ]
                self.answer(json.dumps(entries).encode())
            elif path.startswith("/api/datasets/codeparrot/apps"):
                siblings = [{"rfilename": name} for name in files]
                info = {"id": "codeparrot/apps", "sha": _COMMIT, "siblings": siblings}
                self.answer(json.dumps(info).encode())
            elif path.startswith("/datasets/codeparrot/apps/resolve/") and path.split("/")[-1] in files:
                self.answer(files[path.split("/")[-1]])
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_HEAD = do_GET

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", _COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(hub: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, str(dataset_files()["apps"]), "--no-verify", "--out", str(tmp_path / "out")]
    return subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def test_the_default_source_is_the_hub_and_its_script_never_runs(hub: str, tmp_path: Path) -> None:
    done = run(hub, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [row for path in (tmp_path / "out").glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert {row["extra_info"]["problem_id"] for row in rows} == {"apps/train/0000", "apps/test/0001"}
    assert not list((tmp_path / "hf").rglob("apps.py"))


def test_a_hub_that_is_out_of_reach_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    done = run("http://127.0.0.1:9", tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("error: cannot download dataset 'codeparrot/apps' from the hub")
    assert not (tmp_path / "out").exists()


def test_a_name_that_the_hub_does_not_know_is_one_line(hub: str, tmp_path: Path) -> None:
    done = run(hub, tmp_path, "--source", "nobody/nothing")
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("error: cannot download dataset 'nobody/nothing' from the hub")
    assert "--source" in line
    assert not (tmp_path / "out").exists()

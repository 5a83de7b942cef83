"""The sandbox of a node comes back at its address; what goes wrong with a cluster's is one line."""

import asyncio
import os
import signal
import socket
import threading
import time
import urllib.error
from types import SimpleNamespace

import pytest

from verl_coder.errors import ConfigError, SandboxUnavailableError
from verl_coder.launch import node_sandboxes
from verl_coder.launch.node_sandboxes import ClusterSandboxes, NodeSandbox, nodes_of, wait_for_head
from verl_coder.sandbox import RunRequest, SandboxClient


def test_a_nodes_sandbox_that_is_killed_comes_back_at_its_address() -> None:
    async def ask(url: str) -> str:
        # On a busy machine a server takes many seconds to start.
        async with SandboxClient(url, max_attempts=400, max_backoff_s=0.5) as client:
            return (await client.run_code(RunRequest(code="print(7)"))).run_result.stdout  # type: ignore

    sandbox = NodeSandbox("127.0.0.1", 0, ["--workers", "2"])
    try:
        first = sandbox.pid()
        assert asyncio.run(ask(sandbox.address())) == "7\n"
        os.kill(first, signal.SIGKILL)
        assert asyncio.run(ask(sandbox.address())) == "7\n"
        assert sandbox.pid() != first
    finally:
        sandbox.stop()
    with pytest.raises(SandboxUnavailableError):
        asyncio.run(_once(sandbox.address()))


async def _once(url: str) -> None:
    async with SandboxClient(url, max_attempts=1) as client:
        await client.run_code(RunRequest(code="print(7)"))


def test_too_few_nodes_are_counted() -> None:
    ray = SimpleNamespace(nodes=lambda: [{"Alive": True}, {"Alive": False}])
    assert nodes_of(ray, 1, 0.0) == [{"Alive": True}]
    with pytest.raises(ConfigError, match=r"trainer\.nnodes=2, and the cluster has 1 node"):
        nodes_of(ray, 2, 0.0)


def test_what_the_holder_says_before_it_ends_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    sandboxes = ClusterSandboxes("nowhere:1", nodes=2, port=0, arguments=[])
    sandboxes._command = ["sh", "-c", "echo noise; echo 'error: no isolation here'; echo more noise; exit 1"]
    with pytest.raises(ConfigError, match="sandboxes of the cluster: no isolation here"):
        sandboxes.__enter__()


def test_the_urls_are_read_and_the_holder_ends_with_its_input() -> None:
    sandboxes = ClusterSandboxes("nowhere:1", nodes=2, port=0, arguments=[])
    sandboxes._command = ["sh", "-c", "echo noise; echo 'sandboxes: http://a:1,http://b:1'; cat >/dev/null"]
    with sandboxes:
        assert sandboxes.urls == "http://a:1,http://b:1"
        assert sandboxes._process is not None and sandboxes._process.poll() is None
    assert sandboxes._process.poll() == 0


def test_a_sandbox_that_cannot_be_started_again_just_now_is_tried_until_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts: list[int] = []

    def start(self: NodeSandbox, port: int) -> object:
        starts.append(port)
        if 1 < len(starts) < 4:
            raise urllib.error.URLError("timed out")
        return SimpleNamespace(url="http://127.0.0.1:5", pid=len(starts), __exit__=lambda *_: None)

    monkeypatch.setattr(NodeSandbox, "_start", start)
    monkeypatch.setattr(node_sandboxes, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(node_sandboxes, "_is_alive", lambda pid: pid > 1)
    sandbox = NodeSandbox("127.0.0.1", 0, [])
    deadline = time.monotonic() + 30
    while sandbox.pid() == 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert starts == [0, 5, 5, 5] and sandbox.pid() == 4
    sandbox.stop()


def test_a_head_that_is_still_starting_is_waited_for() -> None:
    with socket.socket() as head:
        head.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{head.getsockname()[1]}"
        with pytest.raises(ConfigError, match=r"for 0 s: start the head"):
            wait_for_head(address, 0.0)
        timer = threading.Timer(0.2, head.listen)
        timer.start()
        wait_for_head(address, 30.0)
        timer.join()
    with pytest.raises(ConfigError, match="write HOST:PORT"):
        wait_for_head("nowhere", 30.0)

"""`python -m verl_coder.launch.node_sandboxes`: a sandbox on every node of the Ray cluster that a run joins.

The launcher starts it and reads the URLs from its output. An actor on each node owns that node's sandbox and starts
another on the same port if it ends; all of them end with this process, and this process with the launcher.
"""

import argparse
import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil

from verl_coder.data.ray_verification import check_reachable
from verl_coder.errors import ConfigError, SandboxUnavailableError
from verl_coder.installation import script
from verl_coder.launch.cluster import actors_environment
from verl_coder.launch.supervise import end_with_parent
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.words import counted

_LINE = "sandboxes: "
_FAILED = "error: "
_LOOK_EVERY_S = 0.5


class NodeSandbox:
    """The sandbox of this machine at `host`, which other machines reach; started again where it ends."""

    def __init__(self, host: str, port: int, arguments: Sequence[str]) -> None:
        self._host, self._arguments = host, list(arguments)
        self._ending = threading.Event()
        self._sandbox = self._start(port)
        self.url = self._sandbox.url
        self._thread = threading.Thread(target=self._tend, daemon=True)
        self._thread.start()

    def _start(self, port: int) -> EmbeddedSandbox:
        extra = ["--host", self._host, *self._arguments]
        return EmbeddedSandbox(port=port, extra=extra).__enter__()

    def address(self) -> str:
        """Its URL."""
        return self.url

    def pid(self) -> int:
        """Process id of the server that runs now."""
        return self._sandbox.pid

    def _tend(self) -> None:
        while not self._ending.wait(_LOOK_EVERY_S):
            if _is_alive(self._sandbox.pid):
                continue
            self._sandbox.__exit__(None, None, None)
            # The port is not free yet, or the machine has no room just now: the next look tries again.
            with contextlib.suppress(SandboxUnavailableError, OSError):
                self._sandbox = self._start(urlsplit(self.url).port or 0)

    def stop(self) -> None:
        """End it."""
        self._ending.set()
        self._thread.join()
        self._sandbox.__exit__(None, None, None)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ClusterSandboxes:
    """Context manager of the launcher: `urls` (comma-separated) and `pid` are set inside.

    ConfigError where the cluster has too few nodes or one of them cannot protect itself.
    """

    def __init__(
        self, address: str, *, nodes: int, port: int, arguments: Sequence[str], wait_s: float = 120.0
    ) -> None:
        self._command = [sys.executable, "-m", __name__, "--address", address, "--nodes", str(nodes)]
        self._command += ["--port", str(port), "--wait-s", str(wait_s), "--", *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.urls = ""

    @property
    def pid(self) -> int:
        """Process id of what holds the sandboxes."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            if line.startswith(_LINE):
                self.urls = line.removeprefix(_LINE).strip()
                return self
            said = line if line.startswith(_FAILED) or not said.startswith(_FAILED) else said
        self.__exit__(None, None, None)
        raise ConfigError(
            f"sandboxes of the cluster: {said.removeprefix(_FAILED).strip() or 'no reason given'}"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them: the process does so when its input ends."""
        if self._process is None:
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def wait_for_head(address: str, wait_s: float) -> None:
    """Return when the cluster's head listens at its address; ConfigError where nobody does after `wait_s`."""
    deadline, is_said = time.monotonic() + wait_s, False
    while True:
        try:
            return check_reachable(address)
        except ConfigError as error:
            if error.__cause__ is None:  # no address
                raise
            if time.monotonic() > deadline:
                start = script("start_ray_cluster.sh head", "ray start --head")
                raise ConfigError(f"{error}, for {wait_s:g} s: start the head ({start})") from error
        if not is_said:
            print(f"waiting for the head at {address}, {wait_s:g} s at most", file=sys.stderr)
        is_said = True
        time.sleep(1.0)


def nodes_of(ray: Any, count: int, wait_s: float) -> list[dict[str, Any]]:
    """The nodes that are alive, at least `count`; ConfigError where there are fewer after `wait_s`."""
    deadline = time.monotonic() + wait_s
    while True:
        alive = [node for node in ray.nodes() if node["Alive"]]
        if len(alive) >= count:
            return alive
        if time.monotonic() > deadline:
            start = script("start_ray_cluster.sh worker", "ray start --address=HOST:6379")
            raise ConfigError(
                f"trainer.nnodes={count}, and the cluster has {counted(len(alive), 'node')} after {wait_s:g} s: start "
                f"the others ({start}), or lower trainer.nnodes"
            )
        time.sleep(1.0)


def _serve(options: argparse.Namespace) -> None:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    wait_for_head(options.address, options.wait_s)
    ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR)
    nodes = nodes_of(ray, options.nodes, options.wait_s)
    if options.only_wait:
        return
    actor_class: Any = ray.remote(NodeSandbox)
    actors = []
    for node in nodes:
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        runtime = {"env_vars": actors_environment()}
        placed = actor_class.options(scheduling_strategy=strategy, num_cpus=0, runtime_env=runtime)
        actors.append(placed.remote(node["NodeManagerAddress"], options.port, options.arguments))
    try:
        urls = ray.get([actor.address.remote() for actor in actors])
        print(f"{_LINE}{','.join(urls)}", flush=True)
        sys.stdin.read()  # ends with the launcher
    finally:
        ends = [actor.stop.remote() for actor in actors]
        ray.wait(ends, num_returns=len(ends), timeout=15)
        ray.shutdown()


def main() -> None:
    """Start the sandboxes, say where they are, and hold them until the input ends."""
    end_with_parent()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--wait-s", type=float, default=120.0)
    parser.add_argument("--only-wait", action="store_true", help="for the nodes; start nothing")
    parser.add_argument("arguments", nargs="*", help="of `verl-coder sandbox serve`")
    try:
        _serve(parser.parse_args())
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        print(f"{_FAILED}{(lines or [type(error).__name__])[-1]}", flush=True)
        os._exit(1)


if __name__ == "__main__":
    main()

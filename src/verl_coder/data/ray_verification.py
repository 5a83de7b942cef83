"""Verification on every machine of a Ray cluster: one actor with its own embedded sandbox on each."""

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from verl_coder.data.verdicts import Verdict
from verl_coder.data.verification import Verify, VerifyOptions, verify_problem
from verl_coder.errors import ConfigError
from verl_coder.problems import Problem
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

_CONNECT_TIMEOUT_S = 10.0


class MachineVerifier:
    """Ray actor: verifies problems against the sandbox it started on its machine."""

    def __init__(self, concurrency: int) -> None:
        import ray

        self.concurrency = VerifyOptions(concurrency=concurrency).effective_concurrency
        self._node_id = ray.get_runtime_context().get_node_id()
        self._server = EmbeddedSandbox()
        self._server.__enter__()
        self._client = SandboxClient([self._server.url], max_concurrency=self.concurrency)

    async def window(self) -> int:
        """How many problems this machine verifies at a time."""
        return self.concurrency

    async def verify(self, row: dict[str, Any]) -> Verdict:
        """The verdict on one row."""
        verdict = await verify_problem(Problem.from_row(row), self._client)
        return replace(verdict, machine=self._node_id)

    async def stop(self) -> None:
        """End the sandbox before the actor is killed."""
        await self._client.__aexit__(None, None, None)
        self._server.__exit__(None, None, None)


@asynccontextmanager
async def open_ray_verifier(options: VerifyOptions) -> AsyncIterator[tuple[Verify, int]]:
    """(verify, window) over all machines that are alive; ConfigError when the cluster cannot be reached."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check_reachable(options.ray_address or "")
    try:
        ray.init(address=options.ray_address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"no Ray cluster at {options.ray_address!r} ({reason})") from error
    actors: list[Any] = []
    try:
        actor_class: Any = ray.remote(MachineVerifier)
        for node in ray.nodes():
            if node["Alive"]:
                strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                actors.append(
                    actor_class.options(scheduling_strategy=strategy, num_cpus=0, max_concurrency=256).remote(
                        options.concurrency
                    )
                )
        windows = [await actor.window.remote() for actor in actors]
        under_way = [0] * len(actors)

        async def verify(problem: Problem) -> Verdict:
            # The machine with the largest share of its window free.
            machine = min(range(len(actors)), key=lambda i: under_way[i] / windows[i])
            under_way[machine] += 1
            try:
                return await actors[machine].verify.remote(problem.to_row())
            except ray.exceptions.RayTaskError as error:
                cause = error.as_instanceof_cause()
                raise cause from error
            finally:
                under_way[machine] -= 1

        yield verify, sum(windows)
    finally:
        for actor in actors:
            await actor.stop.remote()
            ray.kill(actor)
        ray.shutdown()


def check_reachable(address: str) -> None:
    """ConfigError for what is no address, or after seconds where nobody listens; Ray itself would wait for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ConfigError(f"no Ray cluster at {address!r} (write HOST:PORT, auto or local)")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigError(f"no Ray cluster at {address!r} ({error})") from error

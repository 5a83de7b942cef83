"""The real embedded server, started once for the folder, and clients on it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox


class WithoutPairs(SandboxClient):
    """A client of a plain SandboxFusion: /run_code only."""

    async def supports_pairs(self) -> bool:
        return False


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


Run = Callable[[Callable[[SandboxClient], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture(params=["pair", "single_request"])
def with_client(request: pytest.FixtureRequest, sandbox_url: str) -> Run:
    """Run `work(client)` to its end, once at each strength."""
    return _runner(SandboxClient if request.param == "pair" else WithoutPairs, sandbox_url)


@pytest.fixture
def with_pair_client(sandbox_url: str) -> Run:
    return _runner(SandboxClient, sandbox_url)


def _runner(kind: type[SandboxClient], url: str) -> Run:
    def run(work: Callable[[SandboxClient], Coroutine[Any, Any, Any]]) -> Any:
        async def session() -> Any:
            async with kind(url) as client:
                return await work(client)

        return asyncio.run(session())

    return run

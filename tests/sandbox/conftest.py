"""Running servers, one for each isolation mode that this machine allows, shared by the tests of this folder."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

MODES = ("namespaces", "light", "none")


@pytest.fixture(scope="session", params=MODES)
def any_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedSandbox]:
    """A server in each mode."""
    yield from _serve(request.param)


@pytest.fixture(scope="session", params=MODES[:2])
def protected_mode(request: pytest.FixtureRequest) -> str:
    """Each mode that protects, where the machine allows it."""
    try:
        with EmbeddedSandbox(isolation=request.param, extra=["--workers", "2"]):
            return request.param
    except SandboxUnavailableError as error:
        if "does not allow isolation" not in str(error):
            raise
        pytest.skip(f"{request.param}: {error}")


@pytest.fixture(scope="session", params=MODES[:2])
def protected_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedSandbox]:
    """A server in each mode that protects."""
    yield from _serve(request.param)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedSandbox]:
    """A server with the strongest isolation there is."""
    yield from _serve("auto")


def _serve(mode: str) -> Iterator[EmbeddedSandbox]:
    sandbox = EmbeddedSandbox(isolation=mode, extra=["--unsafe"] if mode == "none" else [])
    try:
        sandbox.__enter__()
    except SandboxUnavailableError as error:
        if "does not allow isolation" not in str(error):
            raise
        pytest.skip(f"{mode}: {error}")
    try:
        yield sandbox
    finally:
        sandbox.__exit__(None, None, None)


@pytest.fixture
async def client(server: EmbeddedSandbox) -> AsyncIterator[SandboxClient]:
    """A client of `server` that tries once."""
    async with SandboxClient(server.url, max_attempts=1) as client:
        yield client


@pytest.fixture
async def http(server: EmbeddedSandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP to `server`."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as http:
        yield http

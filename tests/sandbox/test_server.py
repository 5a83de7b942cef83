"""The address that a server names is one at which it is found."""

import socket

import httpx
import pytest

from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.sandbox.server import _address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("0.0.0.0", f"http://0.0.0.0:8080 (every address of {socket.gethostname()})"),
        ("::", f"http://[::]:8080 (every address of {socket.gethostname()})"),
    ],
)
def test_an_address_can_be_taken_as_it_stands(host: str, address: str) -> None:
    assert _address(host, 8080) == address


def test_a_server_on_an_address_of_ipv6_is_found_where_it_says() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with EmbeddedSandbox(extra=["--host", "::1", "--workers", "1"]) as sandbox:
        assert sandbox.url.startswith("http://[::1]:")
        assert httpx.get(f"{sandbox.url}/v1/ping", trust_env=False, timeout=60).json() == "pong"

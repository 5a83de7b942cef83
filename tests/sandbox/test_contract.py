"""The contract, on the embedded server in every mode, and on SANDBOX_FUSION_URL where it is set."""

import importlib.util
import os
from pathlib import Path

import pytest

from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

_spec = importlib.util.spec_from_file_location("sandbox_contract", Path(__file__).with_name("contract.py"))
assert _spec is not None and _spec.loader is not None
contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contract)

checks = pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)


@checks
async def test_embedded_server(any_server: EmbeddedSandbox, check) -> None:
    async with SandboxClient(any_server.url, max_attempts=1) as client:
        await check(client)


@pytest.mark.skipif("SANDBOX_FUSION_URL" not in os.environ, reason="SANDBOX_FUSION_URL is not set")
@checks
async def test_sandbox_fusion(check) -> None:
    async with SandboxClient(os.environ["SANDBOX_FUSION_URL"], max_attempts=1) as client:
        await check(client)

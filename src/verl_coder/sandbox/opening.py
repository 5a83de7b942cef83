"""The sandboxes of a command that is no run: those given, those of SANDBOX_URL, or one started for it."""

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from verl_coder.sandbox.client import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox


@asynccontextmanager
async def open_sandbox(sandbox_url: str | None, concurrency: int) -> AsyncIterator[tuple[SandboxClient, int]]:
    """(client, programs that the sandboxes take at a time); `concurrency` is that of each of them."""
    given = sandbox_url or os.environ.get("SANDBOX_URL", "")
    with ExitStack() as stack:
        urls = [url.strip() for url in given.split(",") if url.strip()]
        if not urls:
            urls = [stack.enter_context(EmbeddedSandbox()).url]
        count = concurrency * len(urls)
        async with SandboxClient(urls, max_concurrency=count) as client:
            yield client, count

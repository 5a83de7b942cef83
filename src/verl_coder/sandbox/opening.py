"""The sandboxes of a command that is no run: those given, those of SANDBOX_URL, or one started for it."""

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from verl_coder.sandbox.answering import check_answers, split_given
from verl_coder.sandbox.client import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox


def given_sandboxes(sandbox_url: str | None, *, tools_url: str | None = None) -> tuple[str, list[str]]:
    """(place, addresses) of the first place that gives some: --sandbox-url, a YAML of tools, SANDBOX_URL."""
    places = {
        "--sandbox-url": sandbox_url,
        "--tools: config.sandbox_url": tools_url,
        "SANDBOX_URL": os.environ.get("SANDBOX_URL"),
    }
    return next(((place, urls) for place, given in places.items() if (urls := split_given(given))), ("", []))


@asynccontextmanager
async def open_sandbox(
    sandbox_url: str | None, concurrency: int, *, tools_url: str | None = None
) -> AsyncIterator[tuple[SandboxClient, int]]:
    """(client, programs that the sandboxes take at a time); `concurrency` is that of each of them.

    ConfigError where no sandbox answers at an address that is given.
    """
    place, urls = given_sandboxes(sandbox_url, tools_url=tools_url)
    with ExitStack() as stack:
        await check_answers(place, urls)
        if not urls:
            urls = [stack.enter_context(EmbeddedSandbox()).url]
        count = concurrency * len(urls)
        async with SandboxClient(urls, max_concurrency=count) as client:
            yield client, count

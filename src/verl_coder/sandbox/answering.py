"""Whether the sandboxes that somebody names are addresses at which one answers."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from verl_coder.errors import ConfigError
from verl_coder.sandbox.client import SandboxClient


def split_given(given: str | None) -> list[str]:
    """The addresses of a comma-separated list; none where nothing is given."""
    return [url.strip() for url in (given or "").split(",") if url.strip()]


async def check_answers(place: str, urls: Sequence[str]) -> None:
    """ConfigError, which names `place`, where one of `urls` is no http address, or no sandbox answers there."""
    for url in urls:
        if not _is_address(url):
            raise ConfigError(
                f"{place}: {url} is no address: write http://host:port, several with commas between"
            )
    found = await asyncio.gather(*map(_answers, urls))
    silent = [url for url, answered in zip(urls, found, strict=True) if not answered]
    if silent:
        raise ConfigError(
            f"{place}: no sandbox answers at {', '.join(silent)}: start it, or leave the setting out"
        )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
        )
    except ValueError:  # a port that is none, a bracket that is not closed
        return False


async def _answers(url: str) -> bool:
    async with SandboxClient(url, max_attempts=2) as client:
        return await client.ping()

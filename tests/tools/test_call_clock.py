"""A call's deadline passes while it works, and not while it waits for its turn."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from verl_coder.tools.call_clock import CallClock, clock_of


async def call(seconds: float, *parts: tuple[str, float]) -> float:
    """Seconds of a call whose parts wait or work so long; TimeoutError where it is over its deadline."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(seconds) as timeout:
        clock = CallClock(timeout, seconds)
        for part, length in parts:
            clock.rest() if part == "waits" else clock.go()
            await asyncio.sleep(length)
    return asyncio.get_running_loop().time() - began


async def test_waiting_takes_nothing_of_the_deadline() -> None:
    assert await call(0.3, ("waits", 0.6), ("works", 0.05), ("waits", 0.4), ("works", 0.05)) > 1.0


@pytest.mark.parametrize("parts", [(("works", 30.0),), (("waits", 0.01), ("works", 30.0))])
async def test_work_that_does_not_end_is_ended(parts: tuple[tuple[str, float], ...]) -> None:
    with pytest.raises(TimeoutError):
        await call(0.1, *parts)


async def test_a_call_that_is_over_is_not_begun_again() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01) as timeout:
            clock = CallClock(timeout, 0.01)
            try:
                await asyncio.sleep(30)
            finally:
                clock.go()


@pytest.mark.parametrize("agent", [SimpleNamespace(), SimpleNamespace(call_clock=None), None])
def test_an_agent_loop_without_a_deadline_has_no_clock(agent: Any) -> None:
    assert clock_of(agent) is None

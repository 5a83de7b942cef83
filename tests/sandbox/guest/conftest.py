"""Sessions of a running server, as the guest answers them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from verl_coder.sandbox import SandboxClient, SandboxSession

Command = Callable[..., Awaitable[dict[str, Any]]]


class Debugged:
    """A program under the debugger; calling it does one command."""

    def __init__(self, session: SandboxSession) -> None:
        self._session = session

    async def __call__(self, command: str, **arguments: Any) -> dict[str, Any]:
        return await self._session.debug(command, **{"run_timeout": 10.0, **arguments})

    async def stops(self, *commands: str) -> list[tuple[str, int | None]]:
        """(event, line) after each command."""
        states = [(await self(command))["state"] for command in commands]
        return [(state["event"], state["line"]) for state in states]


@pytest.fixture
async def debug(client: SandboxClient) -> AsyncIterator[Callable[[str], Awaitable[Debugged]]]:
    """Begin a debugger session with the program."""
    sessions = []

    async def begin(code: str) -> Debugged:
        sessions.append(await client.open_session(kind="debugger", code=code))
        return Debugged(sessions[-1])

    yield begin
    for session in sessions:
        await session.close()


@pytest.fixture
async def run(client: SandboxClient) -> AsyncIterator[Command]:
    """Run code in one interpreter's session."""
    session = await client.open_session(kind="python")

    async def run(code: str, **arguments: Any) -> dict[str, Any]:
        return await session.run(code, **{"run_timeout": 10.0, **arguments})

    yield run
    await session.close()

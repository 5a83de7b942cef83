"""The deadline of a call, which does not run while the call waits for its turn behind others."""

import asyncio
from typing import Any


class CallClock:
    """Set by the agent loop at `agent_data.call_clock`; a tool that lets its calls wait stops and starts it."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float) -> None:
        self._timeout, self._seconds = timeout, seconds

    def rest(self) -> None:
        """The call waits: no time of its own passes."""
        self._timeout.reschedule(None)

    def go(self) -> None:
        """The call's work begins, and all of its time with it."""
        if not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)


def clock_of(agent_data: Any) -> CallClock | None:
    """The clock of the present call; None where the agent loop has no deadline."""
    clock = getattr(agent_data, "call_clock", None)
    return clock if isinstance(clock, CallClock) else None

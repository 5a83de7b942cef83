"""Who owns sessions: a client holds a request open for as long as it lives, and its sessions end soon after it.

A client that is killed sends nothing; its kernel closes its connections, and that is what the server sees. The client
has some seconds to come back, since a connection may break for other reasons.
"""

import asyncio
import time
from collections import Counter
from typing import NoReturn


class Owners:
    """The owners that are there now, and when the others left."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._held: Counter[str] = Counter()
        self._left: dict[str, float] = {}

    async def hold(self, owner: str) -> NoReturn:
        """Until the task is cancelled, as the server does with a request whose connection ends."""
        self._held[owner] += 1
        self._left.pop(owner, None)
        try:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nobody sets the future")
        finally:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]
                self._left[owner] = time.monotonic()

    def is_gone(self, owner: str, since: float) -> bool:
        """Whether a session begun at `since` (seconds of the monotonic clock) outlives its owner."""
        if not owner or owner in self._held:
            return False
        return time.monotonic() - max(since, self._left.get(owner, since)) > self._grace_s

    def forget(self, owners: set[str]) -> None:
        """Keep of those that left only `owners`, who still have sessions."""
        self._left = {owner: left for owner, left in self._left.items() if owner in owners}

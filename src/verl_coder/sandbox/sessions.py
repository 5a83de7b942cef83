"""The sessions of a server: which are open, whose they are, how they ended; debugger sessions among them."""

import asyncio
import collections
import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.sandbox.conversation import Conversation
from verl_coder.sandbox.owners import Owners
from verl_coder.sandbox.pool import Overloaded, Pool
from verl_coder.sandbox.slot import ProgramExit, Slot, SlotLost

_SPARE_SLOTS = 2
"""Made ahead, so that a session begins at once; more are made while many begin in a row."""
_KEPT_ENDS = 10_000
"""So many sessions that ended by themselves are remembered, so that their clients are told."""


class UnknownSession(Exception):
    """No session has this id: its client closed it, left it idle too long or is gone."""


class EndedSession(Exception):
    """Its program brought the session to its end, in a command or between two: the program's failure. Says how."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A conversation with a name."""

    session_id: str
    kind: str
    conversation: Conversation
    idle_timeout_s: float
    owner: str
    began: float
    """Of the monotonic clock."""


class Sessions:
    """All sessions of a server; each has a slot of its own, beside the pool's."""

    def __init__(self, pool: Pool, owners: Owners, *, null: int, cap: int, output_cap: int) -> None:
        self._pool = pool
        self.owners = owners
        self._null = null
        self._cap = cap
        self._output_cap = output_cap
        self._sessions: dict[str, Session] = {}
        self._ended: dict[str, tuple[str, str]] = {}
        """(kind, how it ended) of each session that its program ended; the oldest ones are forgotten."""
        self._opening = 0
        self._spare: collections.deque[Slot] = collections.deque()
        self._refill: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    async def open(
        self,
        *,
        kind: str,
        code: str,
        files: dict[str, bytes],
        memory_mb: int,
        idle_timeout_s: float,
        owner: str = "",
    ) -> Session:
        """A new session; Overloaded when there are as many as the cap allows."""
        if len(self._sessions) + self._opening >= self._cap:
            raise Overloaded(f"{self._cap} sessions are open")
        self._opening += 1
        try:
            slot = await self._take_slot()
        finally:
            self._opening -= 1
        conversation = Conversation(slot, output_cap=self._output_cap)
        try:
            spec = self.spec(slot, kind=kind, code=code, files=files, memory_mb=memory_mb)
            conversation.begin(spec, self._null, memory_bytes=memory_mb << 20)
        except BaseException:
            self._pool.discard(slot)
            raise
        session = Session(
            session_id=secrets.token_hex(16),
            kind=kind,
            conversation=conversation,
            idle_timeout_s=idle_timeout_s,
            owner=owner,
            began=time.monotonic(),
        )
        self._sessions[session.session_id] = session
        return session

    async def _take_slot(self) -> Slot:
        """A slot that was made ahead, else a new one."""
        slot = None
        while self._spare and slot is None:
            slot = self._spare.popleft()
            if slot.dead:
                self._pool.discard(slot)
                slot = None
        self._begin_spare()
        return slot or await self._pool.new_slot("full")

    def _begin_spare(self) -> None:
        """Make slots ahead, in the background."""
        if self._refill is None or self._refill.done():
            self._refill = asyncio.ensure_future(self._make_spare())

    async def _make_spare(self) -> None:
        room = self._cap - len(self._sessions) - self._opening
        while len(self._spare) < min(_SPARE_SLOTS, room):
            try:
                self._spare.append(await self._pool.new_slot("full"))
            except (SlotLost, TimeoutError, OSError, ConfigError):
                # The next session makes its own, or says why not.
                return

    def stop(self) -> None:
        """Make no more slots."""
        if self._refill is not None:
            self._refill.cancel()

    def spec(
        self, slot: Slot, *, kind: str, code: str, files: dict[str, bytes], memory_mb: int
    ) -> dict[str, Any]:
        """What a long-lived program is sent."""
        address_space = self._pool.address_space(slot) + (memory_mb << 20)
        return {
            "op": "session",
            "kind": kind,
            "code": code,
            "files": files,
            "address_space": address_space,
            "cpu_s": 0,
        }

    def get(self, session_id: str, kind: str) -> Session:
        """The session with this id; UnknownSession, EndedSession."""
        ended_kind, how = self._ended.get(session_id, ("", ""))
        if ended_kind == kind:
            raise EndedSession(how)
        session = self._sessions.get(session_id)
        if session is None or session.kind != kind:
            raise UnknownSession(
                f"no {kind} session {session_id!r}: closed, idle too long, or its client left"
            )
        return session

    async def bury(self, session_id: str, *, timed_out: bool = False) -> str:
        """Close a session that its program ended, and remember how: no such end is the service's failure."""
        session = self._sessions.get(session_id)
        if session is None:
            return self._ended.get(session_id, ("", ""))[1]
        self._ended[session_id] = session.kind, ""
        while len(self._ended) > _KEPT_ENDS:
            del self._ended[next(iter(self._ended))]
        late = "it did not stop at its time limit" if timed_out else ""
        ended = await self._end(session)
        how = (ended.how if ended else "") or late
        if session_id in self._ended:
            self._ended[session_id] = session.kind, how
        return how

    async def close(self, session_id: str) -> None:
        """End one session; UnknownSession."""
        session = self._sessions.get(session_id)
        if session is not None:
            await self._end(session)
        elif self._ended.pop(session_id, None) is None:
            raise UnknownSession(f"no session {session_id!r}")

    async def _end(self, session: Session) -> ProgramExit | None:
        del self._sessions[session.session_id]
        try:
            return await session.conversation.finish()
        finally:
            self._pool.discard(session.conversation.slot)

    async def memory_mb(self, session_id: str) -> float | None:
        """Megabytes that a session holds; None where it is gone meanwhile."""
        session = self._sessions.get(session_id)
        if session is not None:
            with contextlib.suppress(SlotLost, TimeoutError):
                return round(await session.conversation.slot.memory_in_use() / (1 << 20), 2)
        return None

    async def close_idle(self) -> None:
        """End the sessions that nobody used for their idle time or whose owner is gone, and the dead ones."""
        for session in list(self._sessions.values()):
            conversation = session.conversation
            if conversation.slot.dead:
                await self.bury(session.session_id)
            elif conversation.idle_s > session.idle_timeout_s or self.owners.is_gone(
                session.owner, session.began
            ):
                # Its client may have closed it while another one came to its end.
                with contextlib.suppress(UnknownSession):
                    await self.close(session.session_id)
        self.owners.forget({session.owner for session in self._sessions.values()})

"""Which of a client's servers have /run_pair: each is asked until it has said so, once for all who wait."""

import asyncio
from collections.abc import Awaitable, Callable

from verl_coder.sandbox.retries import Retries, ServiceFault
from verl_coder.sandbox.routing import Router

PAIR_ROUTE = "/run_pair"


class PairOffer:
    """Answers from what the servers have said; one that is silent is asked beside it, when its rest is over."""

    def __init__(self, router: Router, retries: Retries, ask: Callable[[str], Awaitable[bool]]) -> None:
        self._router = router
        self._retries = retries
        self._ask = ask
        self._has: dict[str, bool] = {}
        self._everywhere = False
        self._asking: asyncio.Task[None] | None = None

    @property
    def urls(self) -> list[str]:
        """The servers known to have it."""
        return [url for url, has in self._has.items() if has]

    async def everywhere(self) -> bool:
        """Whether each server that has answered has it, once True for good; SandboxUnavailableError where none does."""
        if (self._asking is None or self._asking.done()) and (not self._has or self._due()):
            self._asking = asyncio.ensure_future(self._ask_again())
            # It may end when nobody waits for it.
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        if not self._has and self._asking is not None:
            await asyncio.shield(self._asking)
        self._everywhere = self._everywhere or all(self._has.values())
        return self._everywhere

    def stop(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    def _due(self) -> list[str]:
        return [url for url in self._router.urls if url not in self._has and self._router.is_awake(url)]

    async def _ask_again(self) -> None:
        place = f"sandbox {', '.join(self._router.urls)}, {PAIR_ROUTE}"
        await self._retries.until_answered(self._round, place=place, full_s=self._router.full_s)

    async def _round(self) -> None:
        """Ask all that are due, or all while none has answered; ServiceFault where none has then, either."""
        asked = self._due() if self._has else list(self._router.urls)
        found = await asyncio.gather(*map(self._ask, asked), return_exceptions=True)
        for url, answer in zip(asked, found, strict=True):
            if isinstance(answer, bool):
                self._has[url] = answer
            elif not isinstance(answer, ServiceFault):
                raise answer
        if not self._has and isinstance(found[0], ServiceFault):
            raise found[0]

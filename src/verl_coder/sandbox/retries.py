"""How long a client asks again where the service fails: by time, as a server that starts anew is back in seconds."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception_type,
    retry_if_not_exception_type,
)
from tenacity.wait import wait_random_exponential

from verl_coder import words
from verl_coder.errors import SandboxUnavailableError

PATIENCE_S = 45.0
"""From the first fault in a row, so that a request which took long before its server failed is sent again, too."""
FULL_PATIENCE_S = 600.0
"""From the first time that a request met a full server, which is at work and takes it sooner or later."""
_MOST_WITHOUT_RESULT = 5
Made = TypeVar("Made")


class ServiceFault(Exception):
    """The service failed, not the program: worth another attempt."""


class ServerFull(ServiceFault):
    """It has as much as it takes: HTTP 429."""


class NoResult(ServiceFault):
    """It runs and says that it has no result (`SandboxError`, HTTP 500), which the program itself may bring about."""


class Retries:
    """Asks again with backoff and jitter: for so long, and where `max_attempts` is given, at most so often."""

    def __init__(self, *, patience_s: float | None, max_attempts: int | None, max_backoff_s: float) -> None:
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._max_attempts = max_attempts
        self._max_backoff_s = max_backoff_s
        self._backoff = wait_random_exponential(multiplier=0.1, max=max_backoff_s)

    async def until_answered(
        self,
        attempt: Callable[[], Awaitable[Made]],
        *,
        place: str,
        full_s: Callable[[], float],
        final: type[ServiceFault] | tuple[()] = (),
    ) -> Made:
        """What `attempt` gives in the end; SandboxUnavailableError, which names `place`.

        `full_s`: seconds until a server wants to be asked, where all are full. A fault of the type `final` is raised.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(ServiceFault) & retry_if_not_exception_type(final),
            stop=_Patience(self._patience_s, self._max_attempts).is_over,
            wait=lambda state: min(full_s(), self._max_backoff_s) + self._backoff(state),
        )
        try:
            return await retrying(attempt)
        except RetryError as error:
            cause = error.last_attempt.exception()
            count = words.counted(error.last_attempt.attempt_number, "attempt")
            raise SandboxUnavailableError(f"{place}: {count} failed, the last with: {cause}") from cause


class _Patience:
    """Of one request: with silence, which a full server breaks, with full servers, and with those without a result."""

    def __init__(self, silence_s: float, max_attempts: int | None) -> None:
        self._silence_s = silence_s
        self._max_attempts = max_attempts
        self._silent_since: float | None = None
        self._full_since: float | None = None
        self._without_result = 0

    def is_over(self, state: RetryCallState) -> bool:
        """Whether the request is given up, after one more fault."""
        fault = state.outcome.exception() if state.outcome else None
        now = time.monotonic()
        if isinstance(fault, ServerFull):
            self._silent_since = None
            self._full_since = now if self._full_since is None else self._full_since
        elif self._silent_since is None:
            self._silent_since = now
        self._without_result += isinstance(fault, NoResult)
        return (
            (self._silent_since is not None and now - self._silent_since >= self._silence_s)
            or (self._full_since is not None and now - self._full_since >= FULL_PATIENCE_S)
            or self._without_result >= _MOST_WITHOUT_RESULT
            or (self._max_attempts is not None and state.attempt_number >= self._max_attempts)
        )

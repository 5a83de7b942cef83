"""Asynchronous client of OpenAI-compatible servers: limited, retried, paused for all when a server asks for it."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import aiohttp
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from verl_coder import json_text
from verl_coder.errors import ConfigError, TeacherError
from verl_coder.installation import script
from verl_coder.teacher.addresses import check_key, check_url
from verl_coder.teacher.budget import Budget
from verl_coder.teacher.replies import (
    REFUSED,
    FailedReplyError,
    MalformedReplyError,
    TeacherReply,
    encodable,
    parse_reply,
    tells_usage,
    usage_of,
)

_ANOTHER = "give the address of another (TEACHER_URL=, --base-url)"
_CONNECT_TIMEOUT_S = 10.0
_REST_AFTER_FAULT_S = 2.0
_LONGEST_PAUSE_S = 900.0
"""A longer one ends the command."""
_LONGEST_WAIT_S = 1e9
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_RETRIED = (408, 409, 425, 429)
_MODELS_TIMEOUT_S = 10.0
"""For the list of models, which costs a server nothing."""
_SYSTEMATIC = 4
"""Requests that failed one after another, or problems that were refused, none answered: the server fails for all."""


class _Response(NamedTuple):
    """A response, read whole."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class StoppedError(Exception):
    """The client was told to send nothing more."""


class FaultError(Exception):
    """The service failed: worth another attempt. `connection`: there was no server to talk to."""

    def __init__(self, text: str, *, connection: bool = False, usage: tuple[int, int] = (0, 0)) -> None:
        super().__init__(text)
        self.connection, self.usage = connection, usage


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer and how it came."""

    raw: dict[str, Any]
    """The response's JSON, as it came."""
    reply: TeacherReply
    seconds: float


class TeacherClient:
    """Sends chat completions to one or more servers, at most `in_flight` at a time.

    Retried with exponential backoff and full jitter: no connection, a cut one, a time-out, 408, 409, 425, 429, 5xx, an
    answer that is torn, has no choice or no content. A request that waits for its next attempt holds no place. After a
    429 nothing is sent to any server until its Retry-After is over. One client belongs to one event loop.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key: str = "",
        key_name: str = "TEACHER_API_KEY",
        in_flight: int = 32,
        timeout_s: float = 600.0,
        max_attempts: int = 10,
        max_backoff_s: float = 30.0,
        budget: Budget | None = None,
        on_failed: Callable[[tuple[int, int]], Awaitable[None]] | None = None,
    ) -> None:
        """`on_failed` is told of every request that came to no answer, with the tokens that it took."""
        self.urls = [check_url(url) for url in urls]
        if not self.urls:
            raise ConfigError(
                "--base-url is missing: give the address of a server, such as http://127.0.0.1:8129/v1"
            )
        self.budget = budget or Budget()
        self._on_failed = on_failed
        self._key_name, self._timeout_s, self._max_attempts = key_name, timeout_s, max_attempts
        self._wait = wait_random_exponential(multiplier=0.5, max=max_backoff_s)
        self._places = asyncio.Semaphore(in_flight)
        self._headers = {"content-type": "application/json"}
        if key := check_key(key, key_name):
            self._headers["authorization"] = f"Bearer {key}"
        self._http: aiohttp.ClientSession | None = None
        self._resting_until = dict.fromkeys(self.urls, 0.0)
        self._busy = dict.fromkeys(self.urls, 0)
        self._paused_until = 0.0
        self._stopping = asyncio.Event()
        self._answers = self._given_up = 0
        self._refused: set[str] = set()
        """Problems of which a request was refused."""
        self._under_way: set[object] = set()
        self._undecided: set[object] | None = None
        """What was under way when enough problems were refused to doubt the server, and has not come back."""
        self.faults: dict[str, int] = {}
        """Attempts that failed, by what was wrong."""

    async def __aenter__(self) -> Self:
        # A proxy of the environment is for the outside, never for a server on this machine.
        outside = any(urlsplit(url).hostname not in _THIS_MACHINE for url in self.urls)
        self._http = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=0),  # the places are the limit
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_TIMEOUT_S),
            trust_env=outside,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pooled connections."""
        if self._http is not None:
            await self._http.close()

    def stop(self) -> None:
        """Send nothing more; what is in flight goes on."""
        self._stopping.set()

    async def complete(self, body: Mapping[str, Any], *, problem: str = "") -> Completion:
        """One whole answer; requests of one `problem` count as one where the server refuses them.

        FailedReplyError where this request has none, TeacherError where the server has none for any;
        BudgetSpentError and StoppedError where it was not to be sent.
        """
        content = json.dumps(body, ensure_ascii=False).encode()
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(FaultError),
            stop=stop_after_attempt(self._max_attempts),
            wait=self._wait,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    return await self._attempt(content, str(body.get("model")), problem)
        except RetryError as error:
            fault = error.last_attempt.exception()
            if isinstance(fault, FaultError) and fault.connection:
                raise TeacherError(
                    f"the teacher does not answer: {fault} ({self._max_attempts} attempts); the same command goes on"
                ) from fault
            self._given_up += 1
            if self._given_up >= _SYSTEMATIC:
                raise TeacherError(
                    f"the teacher fails for every request: {fault} ({self._max_attempts} attempts at each); the same "
                    "command goes on"
                ) from fault
            raise FailedReplyError(f"gave up after {self._max_attempts} attempts") from fault
        raise AssertionError("unreachable")

    async def models(self, url: str) -> list[str] | None:
        """The names that a server offers, None where it keeps no list; TeacherError where none is there."""
        limit_s = min(_MODELS_TIMEOUT_S, self._timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                response = await self._send("GET", f"{url}/models")
        except TimeoutError as error:
            raise TeacherError(
                f"--base-url {url}: no answer within {limit_s:g} s, asked for its models: wait until the server has "
                f"started, or {_ANOTHER}"
            ) from error
        except aiohttp.ClientError as error:
            raise TeacherError(
                f"--base-url {url}: no server answers there ({_words(error)}); start one with "
                f"`{script('start_teacher.sh', 'vllm serve MODEL')}`, or {_ANOTHER}"
            ) from error
        self._refuse_stranger(response, url, "")
        if response.status != 200:
            return None
        try:
            return [str(model["id"]) for model in json_text.loads(response.content)["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise TeacherError(
                f"--base-url {url}: what answers there is no OpenAI-compatible server; its address ends in /v1"
            ) from error

    async def _attempt(self, content: bytes, model: str, problem: str) -> Completion:
        async with self._places:
            await self._wait_for_pause()
            if self._stopping.is_set():
                raise StoppedError
            self.budget.begin_request()
            try:
                return await self._request(content, model, problem)
            except FaultError as error:
                await self._tell_failed(error.usage)
                raise
            except TeacherError:
                await self._tell_failed((0, 0))
                raise
            except FailedReplyError as error:
                if error.raw is None:
                    await self._tell_failed((0, 0))
                raise

    async def _tell_failed(self, usage: tuple[int, int]) -> None:
        if self._on_failed is not None:
            await self._on_failed(usage)

    async def _request(self, content: bytes, model: str, problem: str) -> Completion:
        url = self._choose()
        self._busy[url] += 1
        request = object()
        self._under_way.add(request)
        started = time.perf_counter()
        try:
            response = await self._send("POST", f"{url}/chat/completions", content)
        except (aiohttp.ClientError, TimeoutError) as error:
            self._resting_until[url] = time.monotonic() + _REST_AFTER_FAULT_S
            connection = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            raise self._fault(f"{url}: {_words(error)}", type(error).__name__, connection) from error
        finally:
            self._busy[url] -= 1
            self._under_way.discard(request)
            if self._undecided is not None:
                self._undecided.discard(request)
        return self._answer(
            response, url, model, problem or str(hash(content)), time.perf_counter() - started
        )

    async def _send(self, method: str, url: str, content: bytes | None = None) -> _Response:
        assert self._http is not None, "the client is not open"
        async with self._http.request(method, url, data=content, allow_redirects=False) as response:
            return _Response(response.status, response.headers, await response.read())

    async def _wait_for_pause(self) -> None:
        while (left := self._paused_until - time.monotonic()) > 0 and not self._stopping.is_set():
            # All wait for the same moment: a little apart, they do not meet the same limit again.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), left + random.uniform(0, 0.05))

    def _answer(self, response: _Response, url: str, model: str, problem: str, seconds: float) -> Completion:
        status = response.status
        self._refuse_stranger(response, url, model)
        if status in _RETRIED or status >= 500:
            self._rest(response, url)
        elif status != 200:
            raise self._refusal(url, f"HTTP {status} {_message(response)}", problem)
        try:
            raw = json_text.loads(response.content)
        except ValueError as error:
            raise self._fault(f"{url}: an answer that is no JSON", "torn JSON") from error
        self.budget.add(usage_of(raw))
        try:
            completion = Completion(raw=raw, reply=parse_reply(raw), seconds=seconds)
        except MalformedReplyError as error:
            raise self._fault(f"{url}: {error}", str(error), usage=usage_of(raw)) from error
        except FailedReplyError as error:
            error.raw = raw
            self._count_answer(raw, url)
            raise
        self._count_answer(raw, url)
        return completion

    def _count_answer(self, raw: Any, url: str) -> None:
        """TeacherError where a limit counts tokens and the server does not say them."""
        self._answers, self._given_up = self._answers + 1, 0
        if tells_usage(raw):
            return
        self.budget.without_usage += 1
        if self.budget.limits_tokens:
            raise TeacherError(
                f"{url} does not say how many tokens an answer takes (it has no `usage`): --max-total-tokens and "
                "--max-cost cannot be kept; leave them out and give --max-requests"
            )

    def _rest(self, response: _Response, url: str) -> None:
        status = response.status
        wait_s = retry_after_s(response.headers.get("retry-after", ""))
        if status == 429 and b"insufficient_quota" in response.content:
            raise TeacherError(f"{url}: the account's quota is used up: {_message(response)}")
        if wait_s and wait_s > _LONGEST_PAUSE_S:
            until = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + wait_s))
            raise TeacherError(
                f"{url} asks for nothing more until {until} (HTTP {status}, Retry-After of {wait_s:,.0f} s): the same "
                "command goes on then"
            )
        # No attempt is made before that time; each request waits for its own backoff as well.
        if wait_s:
            self._paused_until = max(self._paused_until, time.monotonic() + wait_s)
        elif status != 429:
            self._resting_until[url] = time.monotonic() + _REST_AFTER_FAULT_S
        raise self._fault(f"{url}: HTTP {status} {_message(response)}", f"HTTP {status}")

    def _refusal(self, url: str, words: str, problem: str) -> Exception:
        """TeacherError once the server refuses everything, else FailedReplyError.

        A refusal comes sooner than an answer: what was under way when enough problems were refused is awaited first.
        """
        self._refused.add(problem)
        if not self._answers and len(self._refused) >= _SYSTEMATIC:
            if self._undecided is None:
                self._undecided = set(self._under_way)
            if not self._undecided:
                return TeacherError(f"{url} refuses every request: {words}")
        return FailedReplyError(f"{REFUSED}{words}")

    def _refuse_stranger(self, response: _Response, url: str, model: str) -> None:
        """TeacherError for the statuses that every further request would have, too."""
        status = response.status
        if status in (401, 403):
            raise TeacherError(
                f"{url} refuses the key (HTTP {status} {_message(response)}): set the environment variable "
                f"{self._key_name} to one that it takes"
            )
        if status == 402:
            raise TeacherError(f"{url} asks for payment: {_message(response)}")
        if status == 404 and model:
            raise TeacherError(
                f"{url} has no model {model!r}, or its address does not end in /v1 (HTTP 404 {_message(response)})"
            )
        if 300 <= status < 400:
            raise TeacherError(f"{url} points to {response.headers.get('location')}: give that as --base-url")

    def _fault(
        self, text: str, name: str, connection: bool = False, usage: tuple[int, int] = (0, 0)
    ) -> FaultError:
        self.faults[name] = self.faults.get(name, 0) + 1
        return FaultError(text, connection=connection, usage=usage)

    def _choose(self) -> str:
        """The least busy server that is not resting; if all rest, the one whose rest ends first."""
        now = time.monotonic()
        awake = [url for url in self.urls if self._resting_until[url] <= now]
        if not awake:
            return min(self.urls, key=self._resting_until.__getitem__)
        least = min(self._busy[url] for url in awake)
        return random.choice([url for url in awake if self._busy[url] == least])


def retry_after_s(header: str) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date; None without one."""
    header = header.strip()
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S) if seconds == seconds else None


def _message(response: _Response) -> str:
    """The server's words about an error, in one line."""
    text: Any = response.content.decode("utf-8", "replace")
    try:
        body = json_text.loads(response.content)
        error = body.get("error", body) if isinstance(body, Mapping) else body
        text = error.get("message") or error.get("detail") or text if isinstance(error, Mapping) else error
    except ValueError:
        pass
    return encodable(" ".join(str(text).split())[:300])


def _words(error: BaseException) -> str:
    """`Connection refused`, where the system says why; else the library's own words."""
    number = getattr(error, "errno", None)
    # One of TLS or of a name's look-up is a number of OpenSSL's or of the resolver's, which says something else here.
    of_system = not isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorDNSError)
    if of_system and isinstance(number, int) and number > 0:
        return os.strerror(number)
    return " ".join(f"{type(error).__name__} {error}".split())[:200]

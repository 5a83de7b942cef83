"""Asynchronous client of SandboxFusion's API: pooled, limited, retried, spread over several URLs."""

import asyncio
import contextlib
import json
import secrets
import weakref
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from verl_coder.errors import ConfigError, SandboxFullError, SandboxUnavailableError
from verl_coder.sandbox.offers import PAIR_ROUTE, PairOffer
from verl_coder.sandbox.retries import NoResult, Retries, ServerFull, ServiceFault
from verl_coder.sandbox.routing import SLOTS_HEADER, Kind, Router
from verl_coder.sandbox.types import PairRequest, PairResponse, RunRequest, RunResponse

_MARGIN_S = 30.0
_HOLD_AGAIN_S = 1.0
"""Until a server to which the owner's connection broke gets another."""


_NO_ANSWER = (aiohttp.ClientError, TimeoutError, OSError)
"""What a request without an answer raises."""


class SandboxClient:
    """Calls one or more servers, the one on this host first; the others take the load of one that fails.

    Retried (`retries.py` says how long): no connection, read time-out, 429, 5xx, `SandboxError`, an answer that
    cannot be read. A program's own failure is an answer. One client belongs to one event loop.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        max_concurrency: int = 64,
        patience_s: float | None = None,
        max_attempts: int | None = None,
        connect_timeout_s: float = 5.0,
        max_backoff_s: float = 8.0,
    ) -> None:
        self.urls = split_urls(urls)
        self._limit = asyncio.Semaphore(max_concurrency)
        self._retries = Retries(patience_s=patience_s, max_attempts=max_attempts, max_backoff_s=max_backoff_s)
        self._connect_timeout_s = connect_timeout_s
        self._http: aiohttp.ClientSession | None = None
        self._router = Router(self.urls)
        self._owner = secrets.token_hex(16)
        self._held: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Future[None]] = set()
        self._pairs = PairOffer(self._router, self._retries, self._has_pairs)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pooled connections."""
        for task in (*self._held.values(), *self._closing):
            task.cancel()
        self._pairs.stop()
        if self._http is not None:
            await self._open_until_the_end.aclose()

    async def _session(self) -> aiohttp.ClientSession:
        if self._http is None:  # not before the event loop runs
            # `_limit` bounds the connections; proxies of the environment are not asked for.
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            self._open_until_the_end = _open(self._http)
            await anext(self._open_until_the_end)
        return self._http

    def _timeout(self, timeout_s: float | None) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s, sock_read=timeout_s)

    async def run_code(self, request: RunRequest) -> RunResponse:
        """Run one program; SandboxUnavailableError when no server gave an answer."""
        # compile, run, and the wait in the server's queue
        timeout_s = request.compile_timeout + request.run_timeout + _MARGIN_S + 60.0
        return RunResponse.from_dict(await self._call("/run_code", request.to_dict(), timeout_s))

    async def run_pair(self, request: PairRequest) -> PairResponse:
        """Run two joined programs (embedded server only); SandboxUnavailableError when none gave an answer."""
        timeout_s = request.run_timeout + _MARGIN_S + 60.0
        answer = await self._call(PAIR_ROUTE, request.to_dict(), timeout_s, among=self._pairs.urls)
        return PairResponse.from_dict(answer)

    async def supports_pairs(self) -> bool:
        """Whether each URL that answers offers /run_pair, as plain SandboxFusion does not; once True for good."""
        return await self._pairs.everywhere()

    async def _has_pairs(self, url: str) -> bool:
        """What `url` says; ServiceFault where it does not say it."""
        # GET is enough: 404 where the route is unknown, 405 where it is POST only.
        status, _ = await self._request(url, PAIR_ROUTE, b"", self._connect_timeout_s, "GET")
        if status not in (404, 405):
            self._router.failed(url)
            raise ServiceFault(f"{url}{PAIR_ROUTE}: HTTP {status} to a GET, which has 404 or 405")
        return status == 405

    async def ping(self) -> bool:
        """Whether at least one server answers its ping."""
        for url in self.urls:
            if await self._status_of(url, "/v1/ping") == 200:
                return True
        return False

    async def open_session(self, **options: Any) -> "SandboxSession":
        """A session on one of the servers (embedded server only).

        Options are the fields of POST /sessions: kind (python or debugger), code, files, memory_limit_MB,
        idle_timeout. SandboxUnavailableError when no server opens one; SandboxFullError at once when each has as many
        as it takes, so that who waits for another's end holds nothing meanwhile. A session ends some seconds after the
        process of its client, however that ends.
        """
        options = {**options, "owner": self._owner}
        fault: ServerFull | None = None
        for _ in self.urls:
            try:
                answer = await self._ask_for_session(options)
            except ServerFull as full:  # it rests: the next is another one
                fault = full
            else:
                self._stay(answer["server"])
                return SandboxSession(self, answer["server"], answer["session_id"])
        raise SandboxFullError(str(fault))

    async def _ask_for_session(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Where the caller goes away meanwhile, the session is closed as soon as it is there."""
        asking = asyncio.ensure_future(
            self._call("/sessions", options, _MARGIN_S, name_server=True, waits=False)
        )
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            closing = asyncio.ensure_future(self._close_unused(asking))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            raise

    async def _close_unused(self, asking: "asyncio.Future[dict[str, Any]]") -> None:
        with contextlib.suppress(SandboxUnavailableError, ServerFull):
            answer = await asking
            await SandboxSession(self, answer["server"], answer["session_id"]).close()

    def _stay(self, url: str) -> None:
        """Hold a connection to a server for as long as this client lives: its sessions there end with it."""
        if url not in self._held:
            self._held[url] = asyncio.create_task(self._hold(url))

    async def _hold(self, url: str) -> None:
        while True:
            with contextlib.suppress(*_NO_ANSWER):
                async with (await self._session()).post(
                    f"{url}/owners/{self._owner}", timeout=self._timeout(None)
                ) as answer:
                    if answer.status == 404:  # a server that knows no owners
                        return
            await asyncio.sleep(_HOLD_AGAIN_S)

    async def _status_of(self, url: str, path: str) -> int | None:
        timeout = self._timeout(self._connect_timeout_s)
        try:
            async with (await self._session()).get(
                url + path, timeout=timeout, allow_redirects=False
            ) as response:
                return response.status
        except _NO_ANSWER:
            return None

    async def _call(
        self,
        path: str,
        body: Mapping[str, Any],
        timeout_s: float,
        *,
        among: Sequence[str] = (),
        name_server: bool = False,
        waits: bool = True,
    ) -> dict[str, Any]:
        """`among`: servers that may be asked, if not all; `waits`: a full one is asked again, else ServerFull."""
        content = json.dumps(body).encode()
        kind = _kind_of(path)

        async def attempt() -> dict[str, Any]:
            async with self._limit:
                url = self._router.choose(kind, among)
                answer = await self.attempt(url, path, content, timeout_s)
            return {**answer, "server": url} if name_server else answer

        return await self._retries.until_answered(
            attempt,
            place=f"sandbox {', '.join(self.urls)}, {path}",
            full_s=lambda: self._router.full_s(kind, among),
            final=() if waits else ServerFull,
        )

    async def attempt(
        self, url: str, path: str, content: bytes, timeout_s: float, method: str = "POST"
    ) -> dict[str, Any]:
        """One request to one server, not retried; ServiceFault when the service failed."""
        status, body = await self._request(url, path, content, timeout_s, method)
        if status >= 400:
            # The request is wrong: the server would refuse it again, and this says nothing about the program.
            raise SandboxUnavailableError(f"{url}{path}: HTTP {status} {_start_of(body, 500)}")
        return _read_answer(url, body)

    async def _request(
        self, url: str, path: str, content: bytes, timeout_s: float, method: str
    ) -> tuple[int, bytes]:
        """Status and body; ServiceFault without an answer or with one that says that the service failed."""
        self._router.begin(url)
        try:
            async with (await self._session()).request(
                method,
                url + path,
                data=content,
                headers={"content-type": "application/json"},
                timeout=self._timeout(timeout_s),
                allow_redirects=False,
            ) as response:
                body = await response.read()
        except _NO_ANSWER as error:
            self._router.failed(url)
            raise ServiceFault(f"{url}: {_words(error)}") from error
        finally:
            self._router.end(url)
        status, headers = response.status, response.headers
        if status == 429:
            self._router.overloaded(url, _kind_of(path), headers.get("retry-after"))
            raise ServerFull(f"{url}: HTTP 429 {_start_of(body, 200)}")
        if status >= 500:
            self._router.failed(url)
            kind = NoResult if status == 500 else ServiceFault
            raise kind(f"{url}: HTTP {status} {_start_of(body, 200)}")
        self._router.answered(url, headers.get(SLOTS_HEADER))
        return status, body


def _kind_of(path: str) -> Kind:
    return "session" if path.startswith("/sessions") else "run"


async def _open(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """Closes the session when it is closed itself, at the latest by asyncio at the end of the event loop."""
    try:
        yield
    finally:
        await session.close()


def _read_answer(url: str, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
        status = answer["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceFault(f"{url}: not an answer: {_start_of(body, 200)!r}") from error
    if status == "SandboxError":
        raise NoResult(f"{url}: SandboxError {answer.get('message')}")
    return answer


def _words(error: Exception) -> str:
    # aiohttp's own text of a refused connection speaks of TLS, also where there is none.
    reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return f"{type(error).__name__} {reason}"


def _start_of(body: bytes, characters: int) -> str:
    return body[: 4 * characters].decode(errors="replace")[:characters]


class SandboxSession:
    """A program that lives on one server from call to call, until it is closed or idle for too long.

    A call is never repeated, as it may have changed the session: SandboxUnavailableError when the service
    failed or the session is gone (closed, idle too long). One that its own program ended, in a command or between two,
    answers with `alive` false.
    """

    def __init__(self, client: SandboxClient, url: str, session_id: str) -> None:
        self._client = client
        self._url = url
        self.session_id = session_id

    async def run(self, code: str, *, run_timeout: float = 10.0) -> dict[str, Any]:
        """Run code in the persistent interpreter; the JSON object of POST /sessions/{id}/run."""
        return await self._send("/run", {"code": code, "run_timeout": run_timeout}, run_timeout)

    async def debug(self, command: str, *, run_timeout: float = 10.0, **arguments: Any) -> dict[str, Any]:
        """One debugger command; the JSON object of POST /sessions/{id}/debug."""
        return await self._send(
            "/debug", {"command": command, "run_timeout": run_timeout, **arguments}, run_timeout
        )

    async def close(self) -> None:
        """End the session; one that is gone already is no error."""
        with contextlib.suppress(SandboxUnavailableError):
            await self._send("", {}, 0.0, method="DELETE")

    async def _send(
        self, action: str, body: Mapping[str, Any], timeout_s: float, method: str = "POST"
    ) -> dict[str, Any]:
        path = f"/sessions/{self.session_id}{action}"
        try:
            return await self._client.attempt(
                self._url, path, json.dumps(body).encode(), timeout_s + _MARGIN_S, method
            )
        except ServiceFault as error:
            raise SandboxUnavailableError(f"{path}: {error}") from error


def split_urls(urls: str | Sequence[str]) -> tuple[str, ...]:
    """URLs of a comma-separated list or a sequence, without the `/run_code` of SandboxFusion's configurations."""
    parts = urls.split(",") if isinstance(urls, str) else list(urls)
    cleaned = tuple(
        dict.fromkeys(part.strip().rstrip("/").removesuffix("/run_code") for part in parts if part.strip())
    )
    if not cleaned:
        raise ConfigError(
            "no sandbox URL: set SANDBOX_URL (for instance http://127.0.0.1:8080) or sandbox_url"
        )
    for url in cleaned:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"sandbox URL {url!r}: must begin with http:// or https://")
    return cleaned


_shared: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], SandboxClient]]" = (
    weakref.WeakKeyDictionary()
)


def shared_client(urls: str | Sequence[str]) -> SandboxClient:
    """The one pooled client of this process, this set of URLs and the running event loop."""
    clients = _shared.setdefault(asyncio.get_running_loop(), {})
    key = split_urls(urls)
    if key not in clients:
        clients[key] = SandboxClient(key)
    return clients[key]


async def close_shared(urls: str | Sequence[str]) -> None:
    """Close that client; the next use of these URLs in this event loop makes another."""
    client = _shared.get(asyncio.get_running_loop(), {}).pop(split_urls(urls), None)
    if client is not None:
        async with client:
            pass

"""The client retries what is the service's fault, fails over, and never invents a result."""

import asyncio
import json
import subprocess
import sys

import pytest

from verl_coder.errors import ConfigError, SandboxFullError, SandboxUnavailableError
from verl_coder.sandbox import PairRequest, Program, RunRequest, SandboxClient, shared_client
from verl_coder.sandbox.embedded import EmbeddedSandbox


class Scripted:
    """A real HTTP server on loopback that answers from a list; the last answer repeats."""

    def __init__(
        self, *answers: tuple[int, object], by_path: dict[str, tuple[int, object]] | None = None
    ) -> None:
        self.answers = list(answers)
        self.by_path = by_path or {}
        self.calls = 0

    async def __aenter__(self) -> "Scripted":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [
            line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        await reader.readexactly(int(lengths[0]) if lengths else 0)
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        status, body = self.by_path.get(head.split()[1].decode(), answer)
        self.calls += 1
        if status:
            content = json.dumps(body).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(content))
            )
            writer.write(content)
            await writer.drain()
        writer.close()


SUCCESS = {
    "status": "Success",
    "message": "",
    "run_result": {"status": "Finished", "return_code": 0, "stdout": "1"},
}
FAILED = {"status": "Failed", "message": "", "run_result": {"status": "Finished", "return_code": 1}}
REQUEST = RunRequest(code="print(1)")


@pytest.mark.parametrize(
    "fault", [(0, None), (429, {}), (500, {}), (503, {}), (200, {"status": "SandboxError"}), (200, ["?"])]
)
async def test_a_fault_of_the_service_is_retried(fault: tuple[int, object]) -> None:
    async with Scripted(fault, (200, SUCCESS)) as server:
        async with SandboxClient(server.url, max_backoff_s=0.05) as client:
            assert (await client.run_code(REQUEST)).status == "Success"
            assert server.calls == 2


async def test_the_programs_failure_is_not_retried() -> None:
    async with Scripted((200, FAILED)) as server:
        async with SandboxClient(server.url) as client:
            assert (await client.run_code(REQUEST)).status == "Failed"
            assert server.calls == 1


async def test_a_refused_request_is_unavailable_at_once() -> None:
    async with Scripted((422, {"detail": "language"})) as server:
        async with SandboxClient(server.url) as client:
            with pytest.raises(SandboxUnavailableError, match="422"):
                await client.run_code(REQUEST)
            assert server.calls == 1


async def test_it_gives_up_after_its_attempts() -> None:
    async with Scripted((500, {})) as server:
        async with SandboxClient(server.url, max_attempts=3, max_backoff_s=0.01) as client:
            with pytest.raises(SandboxUnavailableError, match="3 attempts"):
                await client.run_code(REQUEST)
            assert server.calls == 3


async def test_no_more_calls_at_a_time_than_the_limit() -> None:
    running, most = 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        await reader.readuntil(b"\r\n\r\n")
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        content = json.dumps(SUCCESS).encode()
        writer.write(
            b"HTTP/1.1 200 X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content) + content
        )
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with SandboxClient(url, max_concurrency=3) as client:
            await asyncio.gather(*(client.run_code(REQUEST) for _ in range(12)))
            assert most == 3


async def test_an_answer_that_never_comes_is_retried_and_then_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.read()
        writer.close()

    monkeypatch.setattr("verl_coder.sandbox.client._MARGIN_S", -69.8)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with SandboxClient(url, max_attempts=2, max_backoff_s=0.01) as client:
            with pytest.raises(SandboxUnavailableError, match="SocketTimeoutError"):
                await client.run_code(RunRequest(code="print(1)", run_timeout=0.1))
            assert calls == 2


async def test_a_dead_url_is_failed_over() -> None:
    async with Scripted((200, SUCCESS)) as server:
        async with SandboxClient(f"http://127.0.0.1:9, {server.url}/run_code", max_backoff_s=0.05) as client:
            responses = await asyncio.gather(*(client.run_code(REQUEST) for _ in range(8)))
            assert {response.status for response in responses} == {"Success"}


async def test_two_urls_share_the_load() -> None:
    async with Scripted((200, SUCCESS)) as first, Scripted((200, SUCCESS)) as second:
        async with SandboxClient([first.url, second.url]) as client:
            await asyncio.gather(*(client.run_code(REQUEST) for _ in range(20)))
            assert first.calls + second.calls == 20 and min(first.calls, second.calls) > 0


async def test_pairs_are_known_by_the_route(server: EmbeddedSandbox) -> None:
    async with SandboxClient(server.url) as client:
        assert await client.supports_pairs()
    async with Scripted((404, {})) as plain:
        async with SandboxClient(plain.url) as client:
            assert not await client.supports_pairs()


@pytest.mark.parametrize("silence", [(0, None), (302, {}), (429, {}), (500, {}), (503, {}), (200, {})])
async def test_only_an_unknown_route_says_that_there_are_no_pairs(silence: tuple[int, object]) -> None:
    async with Scripted(silence, (405, {})) as server:
        async with SandboxClient(server.url, max_backoff_s=0.05) as client:
            assert await client.supports_pairs() and server.calls == 2


async def test_pairs_are_not_sent_to_a_server_that_has_none(server: EmbeddedSandbox) -> None:
    halves = Program(code="print(1)")
    async with Scripted((503, {}), (404, {})) as plain:
        async with SandboxClient([server.url, plain.url]) as client:
            assert await client.supports_pairs()
            request = PairRequest(judge=halves, candidate=halves)
            answers = await asyncio.gather(*(client.run_pair(request) for _ in range(8)))
            assert {answer.status for answer in answers} == {"Success"}


async def test_a_server_that_is_full_of_sessions_takes_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verl_coder.sandbox.routing.is_local", lambda url: False)
    full = {"/sessions": (429, {}), "/run_code": (200, SUCCESS)}
    async with (
        Scripted((200, SUCCESS), by_path=full) as first,
        Scripted((200, SUCCESS), by_path=full) as second,
    ):
        async with SandboxClient([first.url, second.url]) as client:
            with pytest.raises(SandboxFullError):
                await client.open_session()
            await asyncio.gather(*(client.run_code(REQUEST) for _ in range(20)))
            assert min(first.calls, second.calls) > 2


async def test_the_shared_client_is_one_per_loop() -> None:
    here = shared_client("http://127.0.0.1:1")
    assert shared_client(["http://127.0.0.1:1/"]) is here
    other = await asyncio.to_thread(lambda: asyncio.run(_shared()))
    assert other is not here


async def _shared() -> SandboxClient:
    return shared_client("http://127.0.0.1:1")


def test_a_wrong_url_is_one_clear_line() -> None:
    for value in ("", "localhost:8080"):
        with pytest.raises(ConfigError):
            SandboxClient(value)


async def test_a_session_stays_with_its_server(server: EmbeddedSandbox) -> None:
    async with Scripted((500, {})) as broken:
        async with SandboxClient([broken.url, server.url], max_backoff_s=0.05) as client:
            sessions = await asyncio.gather(*(client.open_session() for _ in range(3)))
            for number, session in enumerate(sessions):
                await session.run(f"x = {number}")
            assert [(await session.run("x"))["result"] for session in sessions] == ["0", "1", "2"]
            for session in sessions:
                await session.close()
                await session.close()
            with pytest.raises(SandboxUnavailableError, match="404"):
                await sessions[0].run("x")


def test_a_client_that_ends_with_its_event_loop_says_nothing() -> None:
    program = """
import asyncio
from verl_coder.sandbox import RunRequest, shared_client
from verl_coder.sandbox.embedded import EmbeddedSandbox

async def main(url):
    await shared_client(url).run_code(RunRequest(code="print(1)"))

with EmbeddedSandbox() as sandbox:
    asyncio.run(main(sandbox.url))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""

"""Clients that go away leave no program, no slot and no answer behind for others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from process_tree import processes_below

from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.sandbox.http import HttpProtocol, Response

STAYS = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()"


@pytest.fixture(scope="module")
def small() -> Iterator[EmbeddedSandbox]:
    """A server with two slots."""
    with EmbeddedSandbox(extra=["--workers", "2"]) as sandbox:
        yield sandbox


@pytest.fixture
async def http(small: EmbeddedSandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP to the small server."""
    async with httpx.AsyncClient(base_url=small.url, timeout=60, trust_env=False) as http:
        yield http


async def _abandon(http: httpx.AsyncClient, method: str, path: str, body: dict, after_s: float) -> None:
    """Send a request and close its connection before its answer comes."""
    with contextlib.suppress(httpx.TimeoutException):
        await http.request(method, path, json=body, timeout=httpx.Timeout(10, read=after_s))


async def _open(http: httpx.AsyncClient, **body: object) -> str:
    return (await http.post("/sessions", json=body)).json()["session_id"]


async def _settled(server: EmbeddedSandbox, at_most: int) -> bool:
    for _ in range(100):
        if len(processes_below(server.pid)) <= at_most:
            return True
        await asyncio.sleep(0.1)
    return False


async def test_a_slot_whose_cells_were_abandoned_at_their_end_runs_no_other_program(
    http: httpx.AsyncClient,
) -> None:
    await _abandon(http, "POST", "/run_jupyter", {"cells": [STAYS]}, 1.0)
    for number in range(4):
        body = {"code": f"import numpy\nprint({number})", "language": "python"}
        answer = (await http.post("/run_code", json=body)).json()
        assert (answer["status"], answer["run_result"]["stdout"]) == ("Success", f"{number}\n")


async def test_an_abandoned_close_ends_the_program(small: EmbeddedSandbox, http: httpx.AsyncClient) -> None:
    await http.delete(f"/sessions/{await _open(http)}")
    await asyncio.sleep(1)
    before = len(processes_below(small.pid))
    for _ in range(3):
        session = await _open(http)
        await http.post(f"/sessions/{session}/run", json={"code": STAYS})
        await _abandon(http, "DELETE", f"/sessions/{session}", {}, 0.3)
    assert await _settled(small, before)


async def test_an_abandoned_opening_leaves_no_slot(small: EmbeddedSandbox, http: httpx.AsyncClient) -> None:
    before = len(processes_below(small.pid)) + 4
    for _ in range(3):
        await asyncio.gather(
            *(_abandon(http, "POST", "/sessions", {"idle_timeout": 0.1}, 0.01) for _ in range(8))
        )
    assert await _settled(small, before)


async def test_no_answer_of_a_session_is_that_of_an_abandoned_call(
    small: EmbeddedSandbox, http: httpx.AsyncClient
) -> None:
    session = await _open(http)
    slow = {"code": "import time; time.sleep(1); 'old'"}
    await _abandon(http, "POST", f"/sessions/{session}/run", slow, 0.3)
    for _ in range(2):
        answer = (await http.post(f"/sessions/{session}/run", json={"code": "'new'"})).json()
        assert not answer.get("alive") and answer.get("result") is None
    assert "never retrieved" not in small.log()


async def test_a_session_is_not_idle_in_the_middle_of_a_command(http: httpx.AsyncClient) -> None:
    session = await _open(http, idle_timeout=0.5)
    body = {"code": "import time; time.sleep(2); 'done'"}
    assert (await http.post(f"/sessions/{session}/run", json=body)).json()["result"] == "'done'"


async def test_sessions_closed_while_others_end_as_idle_do_not_end_the_server(
    http: httpx.AsyncClient,
) -> None:
    first, second = await _open(http, idle_timeout=0.8), await _open(http, idle_timeout=0.8)
    await http.post(f"/sessions/{first}/run", json={"code": STAYS})
    await http.post(f"/sessions/{second}/run", json={"code": "1"})
    for _ in range(200):
        if "sandbox_sessions 1.0" in (await http.get("/metrics")).text:
            break
        await asyncio.sleep(0.02)
    await http.delete(f"/sessions/{second}")
    await asyncio.sleep(3)
    assert (await http.get("/v1/ping")).status_code == 200


async def test_a_session_closed_in_the_middle_of_a_command_answers_it_at_once(
    http: httpx.AsyncClient,
) -> None:
    session = await _open(http)
    running = asyncio.ensure_future(
        http.post(f"/sessions/{session}/run", json={"code": "while True: pass", "run_timeout": 100})
    )
    await asyncio.sleep(0.5)
    await http.delete(f"/sessions/{session}")
    assert not (await asyncio.wait_for(running, 20)).json()["alive"]


async def _open_sessions(http: httpx.AsyncClient) -> int:
    lines = (await http.get("/metrics")).text.splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("sandbox_sessions "))


async def test_a_session_whose_caller_went_away_before_it_was_told_ends(
    small: EmbeddedSandbox, http: httpx.AsyncClient
) -> None:
    before = await _open_sessions(http)
    async with SandboxClient(small.url) as client:
        for number in range(12):
            opening = asyncio.ensure_future(client.open_session())
            await asyncio.sleep(number / 1000)
            if opening.cancel():
                await asyncio.wait((opening,))
            if not opening.cancelled():
                await opening.result().close()
        for _ in range(50):
            if await _open_sessions(http) == before:
                return
            await asyncio.sleep(0.1)
    pytest.fail("a session of which nobody knows is open")


class _Closing(asyncio.Transport):
    """A connection whose other end is gone, which its protocol has not been told yet."""

    def is_closing(self) -> bool:
        return True


async def test_what_an_answer_that_cannot_be_written_began_is_undone() -> None:
    undone = asyncio.Event()

    async def undo() -> None:
        undone.set()

    async def handle(method: str, path: str, body: bytes) -> Response:
        return Response(status=200, body=b"", undo=undo)

    connection = HttpProtocol(handle, "", set())
    connection.connection_made(_Closing())
    connection.data_received(b"POST /sessions HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
    await asyncio.wait_for(undone.wait(), 5)

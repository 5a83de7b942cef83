"""Whether servers have /run_pair is asked once for all, and a silent one holds up nobody."""

import asyncio
from collections.abc import Callable

import pytest

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox.offers import PairOffer
from verl_coder.sandbox.retries import Retries, ServiceFault
from verl_coder.sandbox.routing import Router

A, B = "http://a:1", "http://b:1"


class Servers:
    """Answers by url: True, False, None (silent), or an event that is waited for and then silent."""

    def __init__(self, **options: float) -> None:
        self.says: dict[str, bool | asyncio.Event | None] = {}
        self.asked: list[str] = []
        self.router = Router([A, B])
        retries = Retries(**{"patience_s": 30.0, "max_attempts": None, "max_backoff_s": 0.01, **options})
        self.offer = PairOffer(self.router, retries, self.ask)

    async def ask(self, url: str) -> bool:
        self.asked.append(url)
        says = self.says[url]
        if isinstance(says, asyncio.Event):
            await says.wait()
            says = self.says[url]
        if not isinstance(says, bool):
            self.router.failed(url)
            raise ServiceFault(f"{url}: silent")
        self.router.answered(url, None)
        return says


async def until(done: Callable[[], bool]) -> None:
    for _ in range(50):
        await asyncio.sleep(0)
    assert done()


@pytest.mark.parametrize(
    ("a", "b", "everywhere"),
    [(True, True, True), (True, False, False), (False, None, False), (True, None, True)],
)
async def test_the_servers_that_answer_decide(a: bool, b: bool | None, everywhere: bool) -> None:
    servers = Servers()
    servers.says = {A: a, B: b}
    assert [await servers.offer.everywhere() for _ in range(3)] == [everywhere] * 3
    assert sorted(servers.asked) == [A, B]


async def test_all_who_wait_share_one_question() -> None:
    servers = Servers()
    servers.says = {A: True, B: True}
    assert await asyncio.gather(*(servers.offer.everywhere() for _ in range(50))) == [True] * 50
    assert sorted(servers.asked) == [A, B]


async def test_a_silent_server_is_asked_after_its_rest_and_nobody_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = Servers()
    servers.says = {A: True, B: None}
    assert await servers.offer.everywhere()
    assert await servers.offer.everywhere() and servers.asked.count(B) == 1
    servers.says[B] = asyncio.Event()  # as an unreachable host, which holds a connection for seconds
    servers.router._resting_until[B] = 0.0
    assert [await servers.offer.everywhere() for _ in range(50)] == [True] * 50
    await until(lambda: servers.asked.count(B) == 2)
    servers.offer.stop()


async def test_pairs_go_to_the_servers_that_have_them_and_the_wall_never_gets_weaker() -> None:
    servers = Servers()
    servers.says = {A: True, B: None}
    assert await servers.offer.everywhere() and servers.offer.urls == [A]
    servers.says[B] = False
    servers.router._resting_until[B] = 0.0
    servers.router._faults[B] = 0
    assert await servers.offer.everywhere()
    await until(lambda: servers.asked.count(B) == 2)
    assert await servers.offer.everywhere() and servers.offer.urls == [A]


async def test_servers_that_are_all_silent_are_asked_again_and_then_unavailable() -> None:
    servers = Servers(max_attempts=3)
    servers.says = {A: None, B: None}
    asking = [asyncio.ensure_future(servers.offer.everywhere()) for _ in range(10)]
    for task in asking:
        with pytest.raises(SandboxUnavailableError, match=r"/run_pair: 3 attempts failed"):
            await task
    assert servers.asked == [A, B] * 3
    servers.says = {A: True, B: True}
    assert await servers.offer.everywhere()


async def test_the_question_outlives_the_one_who_asked_first() -> None:
    servers = Servers()
    servers.says = {A: asyncio.Event(), B: True}
    first = asyncio.ensure_future(servers.offer.everywhere())
    await until(lambda: len(servers.asked) == 2)
    second = asyncio.ensure_future(servers.offer.everywhere())
    first.cancel()
    held, servers.says[A] = servers.says[A], True
    held.set()
    assert await second and sorted(servers.asked) == [A, B]

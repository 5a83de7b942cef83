"""Who asks again waits by time for a server that is away, longer for one that is full, and five times for no result."""

import asyncio

import pytest
from tenacity import AsyncRetrying

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import retries
from verl_coder.sandbox.retries import NoResult, Retries, ServerFull, ServiceFault


class Time:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Server:
    """Raises what the script says of each call; the last entry repeats."""

    def __init__(self, clock: Time, *script: Exception | None, takes_s: float = 0.0) -> None:
        self.clock, self.script, self.takes_s = clock, list(script), takes_s
        self.calls: list[float] = []

    async def __call__(self) -> str:
        self.calls.append(self.clock.now)
        self.clock.now += self.takes_s
        fault = self.script[min(len(self.calls), len(self.script)) - 1]
        if fault is not None:
            raise fault
        return "answer"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(retries, "time", clock)
    monkeypatch.setattr(
        retries, "AsyncRetrying", lambda **options: AsyncRetrying(sleep=clock.sleep, **options)
    )
    return clock


def ask(server: Server, *, full_s: float = 0.0, final: type[ServiceFault] | tuple[()] = (), **options) -> str:
    settings = {"patience_s": None, "max_attempts": None, "max_backoff_s": 8.0, **options}
    made = Retries(**settings).until_answered(server, place="sandbox", full_s=lambda: full_s, final=final)
    return asyncio.run(made)


def test_a_server_that_is_away_for_half_a_minute_is_waited_for(clock: Time) -> None:
    server = Server(clock, ServiceFault("away"))

    class Back(Server):
        async def __call__(self) -> str:
            return "answer" if clock.now > 130 else await server()

    assert ask(Back(clock, None)) == "answer"
    assert server.calls[-1] <= 130


def test_a_server_that_stays_away_is_given_up_after_its_time(clock: Time) -> None:
    server = Server(clock, ServiceFault("away"))
    with pytest.raises(SandboxUnavailableError, match=r"sandbox: \d+ attempts failed, the last with: away"):
        ask(server, patience_s=20)
    assert 120 <= clock.now < 128 and len(server.calls) > 5


def test_what_took_long_before_its_server_failed_is_sent_again(clock: Time) -> None:
    server = Server(clock, ServiceFault("died"), None, takes_s=100)
    assert ask(server) == "answer"


def test_a_full_server_is_waited_for_beyond_the_time_of_one_that_is_away(clock: Time) -> None:
    server = Server(clock, *[ServerFull("full")] * 60, None)
    assert ask(server, full_s=1.0) == "answer"
    assert clock.now > 160 and min(b - a for a, b in zip(server.calls, server.calls[1:], strict=False)) >= 1
    with pytest.raises(SandboxUnavailableError):
        ask(Server(clock, ServerFull("full")))


def test_a_rest_is_no_longer_than_the_longest_backoff(clock: Time) -> None:
    ask(Server(clock, ServerFull("full"), None), full_s=3600, max_backoff_s=0.5)
    assert clock.now <= 101


def test_a_full_server_is_none_that_is_away(clock: Time) -> None:
    script = [fault for _ in range(20) for fault in (ServiceFault("away"), ServerFull("full"))]
    assert ask(Server(clock, *script, None, takes_s=5), patience_s=8) == "answer"


def test_a_program_that_has_no_result_is_not_run_for_ever(clock: Time) -> None:
    server = Server(clock, NoResult("SandboxError"))
    with pytest.raises(SandboxUnavailableError, match="5 attempts"):
        ask(server)
    assert len(server.calls) == 5


def test_most_attempts_bound_all_faults(clock: Time) -> None:
    for fault in (ServiceFault("away"), ServerFull("full")):
        server = Server(clock, fault)
        with pytest.raises(SandboxUnavailableError, match="1 attempt failed"):
            ask(server, max_attempts=1)


def test_a_final_fault_and_an_error_of_ours_are_raised_at_once(clock: Time) -> None:
    for fault in (ServerFull("full"), KeyError("ours")):
        server = Server(clock, fault)
        with pytest.raises(type(fault)):
            ask(server, final=ServerFull)
        assert len(server.calls) == 1

"""Of several servers the one on this host takes a request, and one that fails takes little."""

import json
import subprocess
import sys

import pytest

from verl_coder.paths import repository_root
from verl_coder.sandbox import routing
from verl_coder.sandbox.routing import Router, is_local

HERE, THERE, ELSEWHERE = "http://here:1", "http://there:1", "http://elsewhere:1"


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(routing, "time", clock)
    return clock


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Router:
    monkeypatch.setattr(routing, "is_local", lambda url: url == HERE)
    return Router([THERE, HERE, ELSEWHERE])


def taken(router: Router, count: int) -> list[str]:
    """Servers of `count` requests that go on at the same time."""
    urls = []
    for _ in range(count):
        urls.append(router.choose())
        router.begin(urls[-1])
    return urls


def test_addresses_of_this_host_are_local_and_others_are_not() -> None:
    assert is_local("http://127.0.0.1:8080") and is_local("http://localhost")
    assert not is_local("http://192.0.2.1:8080") and not is_local("http://no-such-host.invalid:8080")


def test_the_server_on_this_host_is_filled_before_another_is_asked(router: Router) -> None:
    router.answered(HERE, "4")
    urls = taken(router, 7)
    assert urls[:4] == [HERE] * 4 and {THERE, ELSEWHERE} <= set(urls[4:])


def test_when_the_server_on_this_host_fails_the_others_share_its_load(router: Router) -> None:
    router.failed(HERE)
    urls = taken(router, 4)
    assert sorted(urls) == sorted([THERE, ELSEWHERE] * 2)


def test_a_server_that_failed_is_tried_by_one_request_alone(router: Router, clock: Clock) -> None:
    router.failed(HERE)
    clock.now += 2.1
    assert taken(router, 5).count(HERE) == 1
    router.end(HERE)
    router.answered(HERE, None)
    assert router.choose() == HERE


def test_a_server_that_stays_dead_is_tried_less_and_less_often(router: Router, clock: Clock) -> None:
    waits = []
    for _ in range(7):
        router.failed(HERE)
        began = clock.now
        while router.choose() != HERE:
            clock.now += 0.5
        waits.append(clock.now - began)
    assert waits == sorted(waits) and waits[0] == 2 and waits[-1] == 10


def test_a_server_may_stay_dead_for_days(router: Router, clock: Clock) -> None:
    for _ in range(20_000):
        router.failed(HERE)
        clock.now += 10.1
    assert router.is_awake(HERE)


def test_the_requests_that_die_with_a_server_count_as_one_fault(router: Router, clock: Clock) -> None:
    for _ in range(50):
        router.failed(HERE)
    clock.now += 2.1
    assert router.choose() == HERE


def test_a_full_server_rests_and_then_takes_its_load_again(router: Router, clock: Clock) -> None:
    router.overloaded(HERE, "run", None)
    assert HERE not in taken(router, 4)
    clock.now += 2.1
    assert taken(router, 3) == [HERE] * 3


def test_a_server_that_is_full_of_sessions_goes_on_taking_runs(router: Router) -> None:
    router.overloaded(HERE, "session", "5")
    assert router.choose("session") != HERE and router.choose("run") == HERE


@pytest.mark.parametrize(
    ("retry_after", "rest_s"), [("1", 1), ("7", 7), ("3600", 10), (None, 2), ("Fri, 31 Dec 1999", 2)]
)
def test_a_full_server_rests_as_long_as_it_says(
    router: Router, clock: Clock, retry_after: str | None, rest_s: float
) -> None:
    router.overloaded(HERE, "run", retry_after)
    assert router.full_s(among=[HERE]) == rest_s and router.full_s() == 0
    clock.now += rest_s
    assert router.choose() == HERE


def test_a_request_goes_to_none_but_the_servers_that_it_names(router: Router) -> None:
    for url in (THERE, ELSEWHERE):
        router.failed(url)
    assert {router.choose(among=[THERE, ELSEWHERE]) for _ in range(20)} <= {THERE, ELSEWHERE}


def test_a_sandbox_that_is_killed_under_load_loses_no_verdict_and_gives_no_wrong_one() -> None:
    benchmark = [sys.executable, "benchmarks/sandbox_failover.py", "--gradings", "200", "--workers", "4"]
    done = subprocess.run(
        benchmark, cwd=repository_root(), capture_output=True, text=True, timeout=100, check=True
    )
    result = json.loads(done.stdout)
    assert (result["verdicts"], result["lost"], result["wrong"]) == (200, 0, 0), result
    killed, other = result["answers_by_server"]
    assert killed is None and other >= 200 - 200 // 3

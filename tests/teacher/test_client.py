"""The client of a teacher against a scripted server: what is tried again, what ends the run, what it may cost."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from teacher.scripted_teacher import FAULTS, MODEL, ScriptedTeacher, serving

from verl_coder.errors import ConfigError, TeacherError
from verl_coder.teacher.budget import Budget, BudgetSpentError
from verl_coder.teacher.client import Completion, StoppedError, TeacherClient, retry_after_s
from verl_coder.teacher.replies import FailedReplyError


def body(number: int = 0) -> dict[str, Any]:
    text = f"Write a function add_{number} that adds {number}."
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


async def ask(url: str | list[str], count: int = 1, **options: Any) -> list[Completion | BaseException]:
    options = {"max_backoff_s": 0.05, **options}
    async with TeacherClient([url] if isinstance(url, str) else url, **options) as client:
        work = [client.complete(body(number)) for number in range(count)]
        return list(await asyncio.gather(*work, return_exceptions=True))


class FaultsFirst(ScriptedTeacher):
    """A fault for the first requests, then answers."""

    def __init__(self, fault: str, count: int = 1, **options: Any) -> None:
        super().__init__(fault_share=1.0, faults=(fault,), **options)
        self.left = count

    async def _completion(self, request: dict[str, Any], content: bytes) -> bytes | None:
        self.fault_share = 1.0 if self.left > 0 else 0.0
        self.left -= 1
        return await super()._completion(request, content)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_tried_again(fault: str) -> None:
    with serving(FaultsFirst(fault)) as server:
        [found] = asyncio.run(ask(server.url))
    assert isinstance(found, Completion) and "def add_0" in found.reply.content
    assert sum(server.asked.values()) == 2 and server.sent_faults == {fault: 1}


def test_an_answer_that_takes_too_long_is_tried_again() -> None:
    slow = ScriptedTeacher(latency_s=0.5)

    def quick_at_last(request: dict[str, Any], asked: int) -> dict[str, Any]:
        slow.latency_s = 0.0
        return {"content": "late"}

    slow.answer = quick_at_last
    with serving(slow) as server:
        [found] = asyncio.run(ask(server.url, timeout_s=0.3))
    assert isinstance(found, Completion)


def test_retry_after_is_a_pause_for_all() -> None:
    with serving(FaultsFirst("retry_after", latency_s=0.05)) as server:
        times: list[float] = []
        answer = server.answer

        def timed(request: dict[str, Any], asked: int) -> dict[str, Any]:
            times.append(time.perf_counter())
            return answer(request, asked)

        server.answer = timed
        started = time.perf_counter()
        found = asyncio.run(ask(server.url, 6, in_flight=1))
    assert all(isinstance(one, Completion) for one in found)
    # The first request was told to wait a second; the others had asked for nothing yet and waited with it.
    assert min(times) - started >= 1.0


def test_the_places_are_never_more_than_was_said() -> None:
    with serving(ScriptedTeacher(latency_s=0.02)) as server:
        found = asyncio.run(ask(server.url, 40, in_flight=7))
    assert len(found) == 40 and server.most_in_flight == 7


def test_a_request_that_fails_for_ever_is_given_up_and_the_others_are_not() -> None:
    with serving(ScriptedTeacher(fault_share=1.0, faults=("500",))) as server:
        found = asyncio.run(ask(server.url, 2, max_attempts=3))
    assert [type(one) for one in found] == [FailedReplyError, FailedReplyError]
    assert "3 attempts" in str(found[0]) and sum(server.asked.values()) == 6


def test_a_server_that_fails_for_every_request_ends_the_run() -> None:
    with serving(ScriptedTeacher(fault_share=1.0, faults=("500",))) as server:
        found = asyncio.run(ask(server.url, 9, max_attempts=2, in_flight=1))
    ended = [one for one in found if isinstance(one, TeacherError)]
    assert ended and "fails for every request" in str(ended[0]) and "HTTP 500" in str(ended[0])


def test_without_a_server_the_error_names_its_address() -> None:
    [found] = asyncio.run(ask("http://127.0.0.1:1/v1", max_attempts=2))
    assert isinstance(found, TeacherError) and "http://127.0.0.1:1/v1" in str(found)


def test_another_server_takes_the_load_of_one_that_is_gone() -> None:
    with serving(ScriptedTeacher()) as server:
        found = asyncio.run(ask(["http://127.0.0.1:1/v1", server.url], 12))
    assert all(isinstance(one, Completion) for one in found)


def test_a_wrong_key_ends_the_run_with_the_name_of_the_variable() -> None:
    with serving(ScriptedTeacher(key="right")) as server:
        [wrong] = asyncio.run(ask(server.url, key="wrong", key_name="TEACHER_API_KEY"))
        [right] = asyncio.run(ask(server.url, key="right"))
    assert isinstance(wrong, TeacherError) and "TEACHER_API_KEY" in str(wrong) and "wrong" not in str(wrong)
    assert isinstance(right, Completion)


def _client_of(status: int, text: str) -> Callable[[int], list[Any]]:
    class Refusing(ScriptedTeacher):
        async def _completion(self, request: dict[str, Any], content: bytes) -> bytes | None:
            self.asked["all"] += 1
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\n\r\n"
            return (head + text).encode()

    def run(count: int) -> list[Any]:
        with serving(Refusing()) as server:
            return asyncio.run(ask(server.url, count))

    return run


def test_what_the_server_refuses_for_every_request_ends_the_run() -> None:
    [missing] = _client_of(404, '{"error": {"message": "The model `x` does not exist."}}')(1)
    assert isinstance(missing, TeacherError) and "does not exist" in str(missing)
    refused = _client_of(400, '{"message": "unknown field chat_template_kwargs"}')(6)
    assert any(isinstance(one, TeacherError) and "chat_template_kwargs" in str(one) for one in refused)
    [quota] = _client_of(429, '{"error": {"code": "insufficient_quota", "message": "pay"}}')(1)
    assert isinstance(quota, TeacherError) and "quota" in str(quota)


def test_a_refusal_with_half_a_surrogate_pair_is_told_as_text() -> None:
    answers = _client_of(400, r'{"error": {"message": "no \ud83d"}}')(1)
    assert [answer.why for answer in answers] == ["refused: HTTP 400 no ?"]


def test_a_request_that_is_refused_alone_is_its_own_failure() -> None:
    [found] = _client_of(400, '{"message": "the prompt is too long"}')(1)
    assert isinstance(found, FailedReplyError) and "too long" in found.why


def test_a_budget_of_requests_is_never_overrun_and_retries_count() -> None:
    budget = Budget(max_requests=5)
    with serving(FaultsFirst("500", count=2)) as server:
        found = asyncio.run(ask(server.url, 9, budget=budget, in_flight=2))
    assert sum(server.asked.values()) == budget.requests == 5
    assert sum(isinstance(one, BudgetSpentError) for one in found) == 6


def test_budgets_of_tokens_and_money_end_the_sending() -> None:
    for budget in (Budget(max_tokens=100), Budget(max_cost=0.0001, price_in=1.0, price_out=2.0)):
        with serving(ScriptedTeacher()) as server:
            found = asyncio.run(ask(server.url, 40, budget=budget, in_flight=1))
        spent = [one for one in found if isinstance(one, BudgetSpentError)]
        assert 0 < len(spent) < 40 and budget.tokens >= 50
        assert len(found) - len(spent) == sum(server.served.values())


def test_a_client_that_was_stopped_sends_nothing_more() -> None:
    async def run(url: str) -> list[Any]:
        async with TeacherClient([url], in_flight=2) as client:
            work = [asyncio.ensure_future(client.complete(body(number))) for number in range(6)]
            await asyncio.sleep(0.1)
            client.stop()
            return list(await asyncio.gather(*work, return_exceptions=True))

    with serving(ScriptedTeacher(latency_s=0.3)) as server:
        found = asyncio.run(run(server.url))
    assert [type(one) for one in found] == [Completion] * 2 + [StoppedError] * 4


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert retry_after_s("2") == 2.0 and retry_after_s("0.5") == 0.5 and retry_after_s("-1") == 0.0
    assert retry_after_s("") is None and retry_after_s("soon") is None and retry_after_s("nan") is None
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_s("3600") == 3600.0 and retry_after_s("9" * 400) == 1e9
    assert retry_after_s("Mon, 01 Jan 0001 00:00:00 +2359") in (None, 0.0)


def test_a_longer_pause_than_a_command_waits_ends_it_and_says_until_when() -> None:
    class Spent(ScriptedTeacher):
        async def _completion(self, request: dict[str, Any], content: bytes) -> bytes | None:
            return b"HTTP/1.1 429 X\r\nretry-after: 3600\r\ncontent-length: 2\r\n\r\n{}"

    with serving(Spent()) as server:
        [found] = asyncio.run(ask(server.url))
    assert isinstance(found, TeacherError)
    assert re.search(r"asks for nothing more until \d{4}-\d\d-\d\d \d\d:\d\d .*3,600 s", str(found))


def test_an_address_is_checked_before_anything_is_sent() -> None:
    for url in ("127.0.0.1:8129/v1", "ftp://x/v1", "http://", "http://x:port/v1"):
        with pytest.raises(ConfigError, match="--base-url"):
            TeacherClient([url])


class RefusesLong(ScriptedTeacher):
    """Refuses the questions about adding less than `limit` at once, and takes a while for the others."""

    def __init__(self, limit: int) -> None:
        super().__init__(latency_s=0.3)
        self.limit = limit

    async def _completion(self, request: dict[str, Any], content: bytes) -> bytes | None:
        number = int(request["messages"][0]["content"].split("add_")[1].split(" ")[0])
        if number < self.limit:
            text = b'{"message": "the prompt is too long"}'
            return b"HTTP/1.1 400 X\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)
        return await super()._completion(request, content)


def test_many_refusals_of_one_problem_do_not_speak_for_the_others() -> None:
    async def run(url: str) -> list[Any]:
        async with TeacherClient([url], in_flight=4) as client:
            work = [client.complete(body(0), problem="long") for _ in range(20)]
            return list(await asyncio.gather(*work, client.complete(body(1)), return_exceptions=True))

    with serving(RefusesLong(1)) as server:
        *refused, answered = asyncio.run(run(server.url))
    assert {type(one) for one in refused} == {FailedReplyError} and isinstance(answered, Completion)


def test_refusals_that_come_before_slower_answers_do_not_end_the_run() -> None:
    with serving(RefusesLong(12)) as server:
        found = asyncio.run(ask(server.url, 20))
    assert [type(one) for one in found] == [FailedReplyError] * 12 + [Completion] * 8


@pytest.mark.parametrize("header", ["0", "-3", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_retry_after_without_a_wait_leaves_the_backoff(header: str) -> None:
    class Busy(ScriptedTeacher):
        async def _completion(self, request: dict[str, Any], content: bytes) -> bytes | None:
            self.asked["all"] += 1
            return f"HTTP/1.1 429 X\r\nretry-after: {header}\r\ncontent-length: 2\r\n\r\n{{}}".encode()

    async def run(url: str) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ask(url, 8, max_attempts=99, max_backoff_s=30.0), 1.5)

    with serving(Busy()) as server:
        asyncio.run(run(server.url))
    assert 8 <= server.asked["all"] <= 60


def test_a_port_that_is_silent_about_its_models_is_named_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verl_coder.teacher.client._MODELS_TIMEOUT_S", 0.2)

    async def run(url: str) -> None:
        async with TeacherClient([url]) as client:
            await client.models(url)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(TeacherError, match="no answer within 0"):
            asyncio.run(run(url))

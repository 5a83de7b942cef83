"""Grading beside generation: equal programs once, hostile ones never hold it up."""

import asyncio
from typing import Any

import pytest
from evaluation.conftest import make_problem

from verl_coder.evaluation import grading_queue
from verl_coder.evaluation.clock import WorkClock
from verl_coder.evaluation.grading_queue import GradingQueue, load_of
from verl_coder.grading import grade, plan
from verl_coder.grading.report import empty_report
from verl_coder.problems import FunctionCase, FunctionTests, StdioCase, StdioTests
from verl_coder.sandbox import SandboxClient

HOSTILE = [
    "import os\nos._exit(0)",
    "import os\nos.kill(os.getpid(), 9)",
    "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    "print('x' * 50_000_000)\ndef f(xs): return sum(xs)",
    "def f(xs): return f(xs)",
    "def f(xs): return [0] * 10**12",
    "import os\nwhile True: os.fork()",
    "import sys\nsys.stdout.write('</script>\\x1b[2J\\u202e' * 1000)\ndef f(xs): return sum(xs)",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\ndef f(xs): return sum(xs)",
    "def f(xs): return 10**10**7",
    "def f(xs:",
    "raise SystemExit",
]


def with_queue(url: str, work: Any) -> Any:
    async def run() -> Any:
        async with SandboxClient(url) as client:
            return await work(GradingQueue(client, concurrency=4))

    return asyncio.run(run())


async def no_load(sandbox: SandboxClient) -> float:
    return 1.0


def test_equal_programs_of_a_problem_are_graded_once(
    sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    grade = grading_queue.grade

    async def counted(code: str, *args: Any, **options: Any) -> Any:
        calls.append(code)
        return await grade(code, *args, **options)

    monkeypatch.setattr(grading_queue, "grade", counted)

    async def work(queue: GradingQueue) -> Any:
        code = "def f(xs): return sum(xs)"
        return await asyncio.gather(*(queue.verdict(make_problem(number), code) for number in (0, 0, 0, 1)))

    assert all(graded.report.outcome == "passed" for graded in with_queue(sandbox_url, work))
    assert len(calls) == 2


def test_hostile_answers_get_a_verdict_and_none_holds_up_the_others(
    sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(plan, "LOAD_TIMEOUT_S", 2.0)
    problem = make_problem(0)
    problem = replace(problem, tests=replace(problem.tests, timeout_s=1.0))

    async def work(queue: GradingQueue) -> Any:
        return await asyncio.gather(*(queue.verdict(problem, code) for code in HOSTILE))

    outcomes = [graded.report.outcome for graded in with_queue(sandbox_url, work)]
    right = [place for place, outcome in enumerate(outcomes) if outcome == "passed"]
    assert set(right) <= {3, 7, 8}  # the three that also solve the problem
    assert "sandbox_unavailable" not in outcomes


@pytest.mark.parametrize(("processors", "at_a_time"), [(1, 1), (2, 1), (8, 4)])
def test_as_many_second_tries_run_at_a_time_as_have_processors(
    processors: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = 0, 0

    async def met_its_limit(*args: Any, **options: Any) -> Any:
        nonlocal running, most
        if "stretch" in options:
            running += 1
            most = max(most, running)
        await asyncio.sleep(0.01)
        running -= "stretch" in options
        return empty_report("timeout", 1, "")

    monkeypatch.setattr(grading_queue, "grade", met_its_limit)
    monkeypatch.setattr(grading_queue, "load_of", no_load)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(processors)))

    async def work(queue: GradingQueue) -> Any:
        return await asyncio.gather(*(queue.second_try(make_problem(number), "x") for number in range(9)))

    assert not any(graded.provisional for graded in with_queue("http://127.0.0.1:1", work))
    assert most == at_a_time


def test_no_second_try_runs_beside_the_first_ones_that_a_resume_repeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first_ones, beside = 0, []

    async def met_its_limit(code: str, *args: Any, **options: Any) -> Any:
        nonlocal first_ones
        if "stretch" in options:
            beside.append(first_ones)
        first_ones += "stretch" not in options
        await asyncio.sleep(0.01 * int(code))
        first_ones -= "stretch" not in options
        return empty_report("timeout", 1, "")

    monkeypatch.setattr(grading_queue, "grade", met_its_limit)
    monkeypatch.setattr(grading_queue, "load_of", no_load)

    async def work(queue: GradingQueue) -> Any:
        return await asyncio.gather(*(queue.second_try(make_problem(n), str(n)) for n in range(9)))

    with_queue("http://127.0.0.1:1", work)
    assert beside == [0] * 9


def test_the_load_is_that_of_a_program_in_the_sandbox(sandbox_url: str) -> None:
    async def work() -> float:
        async with SandboxClient(sandbox_url) as client:
            return await load_of(client)

    assert 1.0 <= asyncio.run(work()) <= grading_queue.MAX_STRETCH


COMPUTES = "import time\ndef f(xs):\n    while time.process_time() < {seconds}: pass\n    return sum(xs)\n"
PRINTS = "import time\nwhile time.process_time() < {seconds}: pass\nprint(int(input()) + 1)\n"


@pytest.mark.parametrize(("seconds", "outcome"), [(0.2, "passed"), (1.5, "timeout")])
def test_a_stretched_limit_is_for_waiting_and_not_for_computing(
    sandbox_url: str, seconds: float, outcome: str
) -> None:
    calls = FunctionTests(entry_point="f", tests=(FunctionCase(args=([1, 2],), expected=3),), timeout_s=0.5)
    programs = StdioTests(tests=(StdioCase(input="2", output="3"),), timeout_s=0.5)

    async def work() -> list[str]:
        async with SandboxClient(sandbox_url) as client:
            return [
                (await grade(code.replace("{seconds}", str(seconds)), tests, client, stretch=16.0)).outcome
                for code, tests in ((COMPUTES, calls), (PRINTS, programs))
            ]

    assert asyncio.run(work()) == [outcome, outcome]


NO_LIMIT_MET = {
    "wrong": "def f(xs): return 0",
    "right": "def f(xs): return sum(xs)",
    "does not parse": "def f(xs:\n    return 1\n",
    "fails on import": "boom\n",
    "leaves on import": "import sys\nsys.exit(1)\n",
    "dies on import": "import os\nos._exit(1)\n",
    "defines another name": "x = 1\n",
    "dies in the first test, and is loaded no second time": (
        "import os, pathlib\nmark = pathlib.Path('mark')\nif mark.exists(): boom\nmark.touch()\n"
        "def f(xs): os._exit(1)\n"
    ),
}


@pytest.mark.parametrize("code", NO_LIMIT_MET.values(), ids=NO_LIMIT_MET.keys())
def test_only_a_verdict_that_time_decided_met_a_limit(sandbox_url: str, code: str) -> None:
    async def work(queue: GradingQueue) -> Any:
        return await queue.verdict(make_problem(0), code)

    graded = with_queue(sandbox_url, work)
    assert not graded.report.met_limit and not graded.provisional


BUSY = "t = time.process_time()\n    while time.process_time() - t < 0.3: pass\n    "
"""Computing in other tests is no computing in the one that met its limit."""
LIMIT_MET = {
    "a test": "import time\ndef f(xs): time.sleep(9)\n",
    "a test after others that compute": (
        "import time\nn = 0\ndef f(xs):\n    global n\n    n += 1\n    if n == 4: time.sleep(9)\n"
        f"    {BUSY}return sum(xs)\n"
    ),
    "loading": "import time\ntime.sleep(99)\n",
    "all tests, after a wrong one": "import time\ndef f(xs): time.sleep(0.7)\n",
}


@pytest.mark.parametrize("code", LIMIT_MET.values(), ids=LIMIT_MET.keys())
def test_a_verdict_that_time_decided_is_to_be_taken_again(
    sandbox_url: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from verl_coder.grading import plan

    monkeypatch.setattr(plan, "MAX_BUDGET_S", 1.5)
    monkeypatch.setattr(plan, "LOAD_TIMEOUT_S", 1.0)
    problem = make_problem(0)
    cases = problem.tests.tests * 3  # type: ignore[union-attr]
    problem = replace(problem, tests=replace(problem.tests, timeout_s=1.0, tests=cases))  # type: ignore[call-arg]

    async def work(queue: GradingQueue) -> Any:
        return await queue.verdict(problem, code)

    graded = with_queue(sandbox_url, work)
    assert graded.report.met_limit and graded.provisional


def test_the_clock_counts_waiting_only_while_nothing_is_written() -> None:
    clock = WorkClock()
    clock.begin("a")
    clock.change_grading(1)
    clock.end("a")
    assert clock.waiting_s == 0.0 and clock.generating_s > 0
    clock.change_grading(-1)
    assert clock.waiting_s > 0

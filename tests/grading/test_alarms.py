"""Tests that set the alarm of the process keep their own, and do not switch off the judge's."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from verl_coder.grading import TestReport, grade
from verl_coder.grading.programs.alarms import note_exchange
from verl_coder.grading.programs.failures import TestTimedOut, TimeLimit
from verl_coder.problems import AssertTests, PytestTests

Run = Callable[[Callable[[Any], Any]], Any]
CODE = """
import time
def f(x):
    while x < 0:
        pass
    return x
def slow(x):
    time.sleep(0.3)
    return x
"""


def statuses(report: TestReport) -> list[str]:
    return [test.status for test in report.tests]


def asserting(with_client: Run, *tests: str) -> TestReport:
    suite = AssertTests(tests=tests, timeout_s=3, entry_point="f")
    return with_client(lambda client: grade(CODE, suite, client))


def in_module(with_client: Run, body: str) -> TestReport:
    head = "import signal, time\nimport pytest\nfrom solution import f, slow\n"
    suite = PytestTests(test=head + body, timeout_s=3)
    return with_client(lambda client: grade(CODE, suite, client))


def test_a_test_that_switches_its_alarm_off_leaves_the_judges(with_client: Run) -> None:
    hangs = "import signal\nsignal.alarm(1)\nsignal.alarm(0)\nassert f(-1) == 1"
    blocks = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\nassert f(-1) == 1"
    report = asserting(with_client, "assert f(1) == 1", hangs, "assert f(2) == 2", blocks, "assert f(3) == 3")
    assert statuses(report) == ["passed", "timeout", "passed", "timeout", "passed"], report


LIMIT = """
def expire(*_):
    raise TimeoutError("slow")
@pytest.fixture
def limit():
    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(1)
    yield
    assert signal.getsignal(signal.SIGALRM) is expire
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
"""


def test_an_alarm_of_the_tests_that_does_not_ring_changes_nothing(with_client: Run) -> None:
    body = LIMIT + "def test_a(limit):\n    assert f(1) == 1\ndef test_b():\n    assert slow(2) == 2\n"
    report = in_module(with_client, body)
    assert report.outcome == "passed", report


def test_an_alarm_of_the_tests_ends_a_solution_that_hangs_and_says_so(with_client: Run) -> None:
    body = LIMIT + (
        "def test_a():\n    assert f(1) == 1\n"
        "def test_b(limit):\n    with pytest.raises(TimeoutError):\n        f(-1)\n"
        "def test_c():\n    assert f(3) == 3\n"
    )
    report = in_module(with_client, body)
    assert statuses(report) == ["passed", "timeout", "passed"], report
    assert "the tests' own alarm rang before the solution answered" in report.tests[1].message


def test_an_alarm_that_nobody_handles_ends_its_test_alone(with_client: Run) -> None:
    body = "def test_a():\n    signal.alarm(1)\n    time.sleep(2.9)\ndef test_b():\n    assert f(3) == 3\n"
    report = in_module(with_client, body)
    assert statuses(report) == ["timeout", "passed"], report
    assert "they do not handle it" in report.tests[0].message


def test_an_alarm_of_the_tests_rings_in_their_own_code_as_ever(with_client: Run) -> None:
    body = LIMIT + (
        "def test_a(limit):\n    with pytest.raises(TimeoutError):\n        time.sleep(2.9)\n    assert f(1) == 1\n"
        "def test_b():\n    rung = []\n    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))\n"
        "    assert signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01) == (0.0, 0.0)\n"
        "    assert slow(2) == 2 and rung\n"
        "    left, interval = signal.getitimer(signal.ITIMER_REAL)\n    assert 0 < left and interval == 0.01\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0)\n    assert signal.alarm(5) == 0 and 0 < signal.alarm(0) <= 5\n"
    )
    report = in_module(with_client, body)
    assert report.outcome == "passed", report


def test_what_the_talk_with_the_solution_takes_comes_on_top_of_a_limit() -> None:
    with TimeLimit(0.1, most_s=9.0) as limit:
        for _ in range(9000):
            note_exchange()
        time.sleep(0.3)
    assert not limit.expired
    with pytest.raises(TestTimedOut), TimeLimit(0.1, most_s=9.0):
        time.sleep(5)


def test_the_talk_with_the_solution_cannot_hold_off_the_limit_for_ever(with_client: Run) -> None:
    started = time.monotonic()
    with pytest.raises(TestTimedOut), TimeLimit(0.1, most_s=0.2):
        while time.monotonic() - started < 5:
            note_exchange()
    code = "def f(g):\n    while True: g(1)\n"
    suite = AssertTests(tests=("assert f(abs) == 1", "assert f(lambda n: n) == 1"), timeout_s=0.5)
    report = with_client(lambda client: grade(code, suite, client))
    assert report.outcome == "timeout" and time.monotonic() - started < 12, report.explain()

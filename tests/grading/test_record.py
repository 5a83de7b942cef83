"""The record of a grading: what earlier requests settled, when the run ends, and whose fault a missing verdict is."""

import contextlib
import json

import pytest

from verl_coder.grading import grade, grader, plan
from verl_coder.grading.bundle import program_code
from verl_coder.grading.programs.record import MAX_DETAILS, MAX_TIMEOUTS, GradingRecord, Stop
from verl_coder.grading.programs.spec import Spec
from verl_coder.problems import AssertTests, PytestTests


def record_of(total=5, **fields):
    return GradingRecord(Spec("program", total=total, timeout_s=1.0, budget_s=60.0, **fields))


def run(record, letters):
    """Give the tests these letters, but for those that are settled already."""
    for letter in letters:
        if not record.skip_settled():
            record.add(letter, "a test")


def test_what_an_earlier_request_settled_is_kept_and_the_rest_not_run():
    record = record_of(known="pf")
    run(record, "eep")
    assert record.report(0)["status"] == "pfpnn"


def test_an_open_test_is_run_again():
    record = record_of(known="p?p", provisional={"1": "f"})
    run(record, "ppp")
    assert record.report(0)["status"] == "pppnn"


def test_two_confirmed_failures_settle_the_others():
    record = record_of(known="?????", provisional=dict.fromkeys("01234", "f"))
    run(record, "ffppp")
    assert record.report(0)["status"] == "fffff"


def test_one_refuted_failure_settles_none():
    record = record_of(known="?????", provisional=dict.fromkeys("01234", "f"))
    run(record, "pffpp")
    assert record.report(0)["status"] == "pffpp"


def test_time_outs_of_earlier_requests_count():
    record = record_of(timeouts=MAX_TIMEOUTS - 1)
    assert not record.is_over
    record.add("t")
    assert record.is_over


def test_an_early_stop_ends_the_run_at_the_first_failure():
    record = record_of(stop_early=True)
    record.add("p")
    with pytest.raises(Stop):
        record.add("f", "a test", "wrong")
    report = record.report(0)
    assert (report["status"], report["details"]) == ("pfnnn", {1: {"input": "a test", "message": "wrong"}})


def test_a_report_that_leaves_tests_open_asks_for_one_more_request():
    record = record_of(total=2)
    record.leave_open("e")
    report = record.report(0)
    assert (report["status"], report["resume"], report["provisional"]) == ("?", True, {"0": "e"})


def test_only_the_first_failures_are_told_in_words():
    record = record_of(total=MAX_DETAILS + 5)
    run(record, "p" + "f" * (MAX_DETAILS + 4))
    assert list(record.report(0)["details"]) == list(range(1, MAX_DETAILS + 1))


def test_a_solution_that_cannot_be_loaded_runs_no_test():
    record = record_of(total=2)
    with contextlib.suppress(Stop):
        record.fail_load("e", "no such name")
    report = record.report(0)
    assert (report["status"], report["load"]) == ("nn", {"status": "e", "message": "no such name"})


def test_no_text_of_a_report_is_longer_than_a_bound():
    record, long = record_of(total=30), "\0" * 50_000_000
    for _ in range(25):
        record.add("f", long, long, long, long)
    with contextlib.suppress(Stop):
        record.fail_load("e", long)
    with contextlib.suppress(Stop):
        record.fail_sandbox(long)
    assert len(json.dumps(record.report(0))) < 20_000
    record._sandbox_error = ""
    assert len(json.dumps(record.report(0))) < 2 << 20


def test_a_sandbox_without_pytest_is_unavailable_and_never_a_wrong_answer(with_client, monkeypatch):
    def without_pytest(*arguments, **options):
        return 'import sys\nsys.modules["pytest"] = None\n' + program_code(*arguments, **options)

    monkeypatch.setattr(grader, "program_code", without_pytest)
    suite = PytestTests(test="import pytest\nfrom solution import f\ndef test_it():\n    assert f(1) == 1\n")
    report = with_client(lambda client: grade("def f(x): return x", suite, client))
    assert report.outcome == "sandbox_unavailable" and "pytest" in report.message


def test_a_load_that_takes_too_long_is_told_with_its_own_limit(with_pair_client, monkeypatch):
    monkeypatch.setattr(plan, "LOAD_TIMEOUT_S", 1.5)
    tests = AssertTests(tests=("assert f(1) == 1",), timeout_s=0.3)
    code = "import time\ntime.sleep(30)\ndef f(x): return x\n"
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert (report.outcome, report.message) == ("timeout", "the solution was not loaded within 1.5 s")

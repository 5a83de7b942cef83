"""What a report says: a suite without tests, a time that is up, the words of a failed test."""

import pytest

from verl_coder.grading import grade
from verl_coder.grading.report import report_from_judge
from verl_coder.problems import PytestTests

CODE = "def f(x): return x + 1"
IMPORT = "from solution import f\n"


def of_pytest(body):
    return PytestTests(test=f"{IMPORT}{body}")


@pytest.mark.parametrize("before", ["", "import pytest\n"])
def test_a_module_without_tests_passes_nothing_and_says_so(before, with_client):
    tests = of_pytest(f"{before}assert f(1) == 2\nprint('ok')")
    report = with_client(lambda client: grade(CODE, tests, client))
    assert (report.outcome, report.passed, report.message) == ("error", 0, "no test was collected")
    assert not report.met_limit


@pytest.mark.parametrize(("time_up", "outcome"), [(True, "timeout"), (False, "error")])
def test_tests_that_were_not_run_are_a_time_out_only_where_the_time_was_up(time_up, outcome):
    raw = {"status": "pn", "details": {}, "load": None, "unsplittable": 0, "time_up": time_up}
    assert report_from_judge(raw, strength="pair").outcome == outcome


@pytest.mark.parametrize(
    ("statement", "status", "words"),
    [
        ("assert f(1) == 3, 'first\\n  second'", "failed", "AssertionError: first\n  second"),
        (
            "raise ValueError('an assert\\n\\nof mine') from KeyError(1)",
            "error",
            "ValueError: an assert\n\nof mine",
        ),
        ("assert f(1) == 3", "failed", "AssertionError"),
    ],
)
def test_a_failed_test_keeps_all_lines_of_what_it_raised(statement, status, words, with_pair_client):
    tests = of_pytest(f"import pytest\ndef test():\n    {statement}")
    (test,) = with_pair_client(lambda client: grade(CODE, tests, client)).tests
    assert (test.status, test.message) == (status, words)

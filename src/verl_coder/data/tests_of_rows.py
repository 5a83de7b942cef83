"""A record's tests on their way into a row: as the row will give them back, runnable, and with limits."""

from dataclasses import replace
from typing import Any

from verl_coder.data.record import RowError
from verl_coder.errors import DataError
from verl_coder.grading.plan import DEFAULT_TIMEOUT_S, LOAD_TIMEOUT_S, make_plan
from verl_coder.problems import (
    AssertTests,
    CheckTests,
    FunctionTests,
    PytestTests,
    TestSuite,
    parse_test_suite,
)

_MORE_FOR_LOADING_S = 3.0
"""Heavy imports take some seconds on a busy machine."""


def as_read(tests: TestSuite) -> TestSuite:
    """The tests as a row gives them back, which are those to verify; RowError where a row cannot hold them."""
    try:
        text = tests.to_json()
        read = parse_test_suite(text)
        # Values of calls may be of any kind and depth; the other styles hold texts.
        if isinstance(read, FunctionTests):
            make_plan(read)
            if read.to_json() != text:
                raise DataError("two keys of an object are one in JSON")
    except (DataError, TypeError, ValueError, RecursionError) as error:
        raise RowError(f"a row cannot hold the tests: {error}", code="bad_tests") from error
    return read


def fault_of(tests: TestSuite) -> str:
    """Why tests that are code cannot be run at all; empty where they can."""
    if isinstance(tests, (AssertTests, CheckTests, PytestTests)):
        try:
            make_plan(tests)
        except DataError as error:
            return str(error)
    return ""


def limited(tests: TestSuite, limit_s: float) -> TestSuite:
    """The tests with at most `limit_s` for each, and for loading 3 s more; what is shorter already stays."""
    changes: dict[str, Any] = {}
    if limit_s < (tests.timeout_s or DEFAULT_TIMEOUT_S):
        changes["timeout_s"] = limit_s
    if (loading_s := limit_s + _MORE_FOR_LOADING_S) < (tests.load_timeout_s or LOAD_TIMEOUT_S):
        changes["load_timeout_s"] = loading_s
    return replace(tests, **changes)

"""A test suite as the judge's spec: what can be known before the solution is. Built once a suite."""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from verl_coder.errors import DataError
from verl_coder.grading.programs.spec import Spec
from verl_coder.grading.programs.wire import SHARED_MODULES, Codec
from verl_coder.grading.statements import (
    assigned_names,
    check_body,
    first_called,
    free_names,
    needs_pytest,
    passes_variables,
    statement_item,
    test_function_count,
)
from verl_coder.problems import (
    AssertTests,
    CheckTests,
    FunctionTests,
    PytestTests,
    StdioTests,
    TestSuite,
)

DEFAULT_TIMEOUT_S = 10.0
LOAD_TIMEOUT_S = 10.0
MAX_BUDGET_S = 60.0
_SOLUTION_IMPORTS = """\
import bisect, collections, functools, heapq, itertools, math, random, re, string
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from typing import *
"""
"""Starter code of the `class Solution` kind takes these for granted (apps/eval/testing_util.py gives them)."""


@dataclass(frozen=True, kw_only=True)
class GradingPlan:
    """What is sent: `job` is the candidate's part (the solution's code is added), `spec` the judge's."""

    job: dict[str, Any]
    spec: Spec
    memory_mb: int | None
    imports: str
    """Heavy modules that the judge will import."""


_plans: dict[int, tuple[weakref.ref[TestSuite], GradingPlan]] = {}


def make_plan(tests: TestSuite) -> GradingPlan:
    """The plan of a suite, kept for as long as the suite lives. DataError where the tests do not parse."""
    known = _plans.get(id(tests))
    if known is not None and known[0]() is tests:
        return known[1]
    try:
        plan = _BUILDERS[type(tests)](tests)
    except SyntaxError as error:
        raise DataError(f"the tests of style {tests.style!r} do not parse: {error}") from error
    key = id(tests)
    _plans[key] = (weakref.ref(tests, lambda _: _plans.pop(key, None)), plan)
    return plan


def _plan(tests: TestSuite, spec: Spec, *, entry: str = "") -> GradingPlan:
    """The plan of `spec`, whose limits follow from the suite; `entry` is the solution's expression to call."""
    total = spec.total or sum(not item.get("setup") for item in spec.items)
    if total == 0:
        raise DataError(f"the tests of style {tests.style!r} hold no test")
    timeout_s = tests.timeout_s or DEFAULT_TIMEOUT_S
    return GradingPlan(
        job={"style": spec.style, "prelude": spec.prelude, "entry": entry},
        spec=spec._replace(
            total=total,
            timeout_s=timeout_s,
            load_timeout_s=LOAD_TIMEOUT_S,
            budget_s=LOAD_TIMEOUT_S + min(total * timeout_s, max(MAX_BUDGET_S, timeout_s)),
        ),
        memory_mb=tests.memory_mb,
        imports="pytest" if spec.needs_pytest else "numpy" if _mention_numpy(tests) else "",
    )


def _mention_numpy(tests: TestSuite) -> bool:
    fields = ("prelude", "setup", "check", "test")
    return any("numpy" in getattr(tests, field, "") for field in fields)


def _no_export(value: Any) -> Any:
    raise DataError(f"a test holds a {type(value).__name__}, which is not plain data")


_codec = Codec({}, _no_export, _no_export)


def call_item(args: Iterable[Any], kwargs: dict[str, Any], expected: Any, source: str = "") -> dict[str, Any]:
    """A call with known arguments and a known result."""
    encode = _codec.encode
    item = {"args": encode(list(args)), "kwargs": encode(kwargs), "expected": encode(expected)}
    return {**item, "source": source} if source else item


def _function_plan(tests: FunctionTests) -> GradingPlan:
    target = f"{tests.class_name}().{tests.entry_point}" if tests.class_name else tests.entry_point
    wrapped = all(isinstance(case.expected, list) and len(case.expected) == 1 for case in tests.tests)
    spec = Spec(
        "calls",
        [call_item(case.args, {}, case.expected) for case in tests.tests],
        entry_name=tests.entry_point,
        prelude=_SOLUTION_IMPORTS if tests.class_name else "",
        compare="json_wrapped" if wrapped else "json",
    )
    return _plan(tests, spec, entry=target)


def _assert_plan(tests: AssertTests) -> GradingPlan:
    sources = [*([tests.setup] if tests.setup.strip() else []), *tests.tests]
    names = free_names(sources)
    entry = tests.entry_point or first_called(tests.tests)
    # `math.isclose` is the judge's own, whether or not the solution imported or imitates it.
    modules = [
        name for name in names if name in SHARED_MODULES and any(f"{name}." in text for text in sources)
    ]
    spec = Spec(
        "calls",
        [statement_item(source, entry, call_item) for source in tests.tests],
        entry_name=entry,
        setup=tests.setup,
        names=[name for name in names if name != entry and name not in modules],
        modules=modules,
        write_back=passes_variables(sources),
    )
    return _plan(tests, spec, entry=entry)


def _check_plan(tests: CheckTests) -> GradingPlan:
    parameter, body = check_body(tests.check)
    items: list[dict[str, Any]] = []
    if body is None:
        call = f"check({parameter})"
        items = [{"source": tests.check, "setup": True}, {"source": call}]
        names = free_names([tests.check, call])
    else:
        names = free_names(body.sources)
        if body.before.strip():
            items.append({"source": body.before, "setup": True})
        for source, is_test in zip(body.sources[1:], body.is_test, strict=True):
            items.append(
                statement_item(source, parameter, call_item) if is_test else {"source": source, "setup": True}
            )
    given = {parameter} | assigned_names(tests.prelude)
    spec = Spec(
        "calls",
        items,
        entry_name=parameter,
        prelude=tests.prelude,
        names=[name for name in names if name not in given],
        write_back=passes_variables([tests.check]),
    )
    return _plan(tests, spec, entry=tests.entry_point)


def _stdio_plan(tests: StdioTests) -> GradingPlan:
    # A lone surrogate has no bytes that a program could read.
    inputs = [case.input.encode("utf-8", "replace").decode() for case in tests.tests]
    items = [{"stdin": text, "expected": case.output} for text, case in zip(inputs, tests.tests, strict=True)]
    return _plan(tests, Spec("program", items))


def _pytest_plan(tests: PytestTests) -> GradingPlan:
    spec = Spec(
        "module",
        total=max(1, test_function_count(tests.test)),
        source=tests.test,
        needs_pytest=needs_pytest(tests.test),
        write_back=True,
    )
    return _plan(tests, spec)


_BUILDERS: dict[type[TestSuite], Callable[[Any], GradingPlan]] = {
    FunctionTests: _function_plan,
    AssertTests: _assert_plan,
    CheckTests: _check_plan,
    StdioTests: _stdio_plan,
    PytestTests: _pytest_plan,
}

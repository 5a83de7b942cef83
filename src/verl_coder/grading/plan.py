"""A test suite as the judge's spec: what can be known before the solution is. Built once a suite."""

import builtins
import itertools
import math
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from verl_coder.errors import DataError
from verl_coder.grading.apart import out_of_reach
from verl_coder.grading.headers import RECURSION_LIMIT, usual_imports
from verl_coder.grading.programs.asked import names_of_solution
from verl_coder.grading.programs.encode import Encoder, WireError
from verl_coder.grading.programs.reading import says_what_it_expects
from verl_coder.grading.programs.spec import Spec
from verl_coder.grading.report import TestReport
from verl_coder.grading.skips import skipped_in_the_text
from verl_coder.grading.statements import (
    assigned_names,
    check_body,
    first_called,
    free_names,
    import_statements,
    needs_pytest,
    shows_changes,
    statement_item,
    test_function_count,
)
from verl_coder.grading.usage import (
    asked_of_solution,
    is_library_name,
    libraries,
    library_names,
    used_as_classes,
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
_WHOLE_KEY = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, kw_only=True)
class GradingPlan:
    """What is sent: `job` is the candidate's part (the solution's code is added), `spec` the judge's."""

    job: dict[str, Any]
    spec: Spec
    memory_mb: int | None
    imports: str
    """Heavy modules that the judge will import."""
    out_of_reach: list[str]
    """What the tests use and the solution's process does not see."""
    usual_imports: bool = False
    """Whether an answer may take for granted what the reference graders import before it."""
    stretch: float = 1.0
    """How much longer than their own limits of time are: a program may wait for the processor, not compute longer."""

    def stretched(self, factor: float, *, most_s: float) -> "GradingPlan":
        """The plan with every limit of time `factor` times as long, for a busy machine; none is over `most_s`."""
        spec = self.spec
        factor = min(factor, most_s / spec.budget_s)
        times = {name: getattr(spec, name) * factor for name in ("timeout_s", "load_timeout_s", "budget_s")}
        return self if factor == 1 else replace(self, spec=spec._replace(**times), stretch=factor)

    @property
    def cpu_limit_s(self) -> float:
        """CPU seconds of a test where limits are stretched; infinite where they are not, since then they hold it."""
        return self.spec.timeout_s / self.stretch if self.stretch > 1 else math.inf

    def limits_met_s(self, report: TestReport) -> float:
        """Seconds of all limits of time that a solution with this report met; 0 where it met none."""
        met = sum(test.status == "timeout" for test in report.tests) * self.spec.timeout_s
        if not met and report.met_limit:
            in_loading = any(test.status == "not_run" for test in report.tests[:1])
            return self.spec.load_timeout_s if in_loading else self.spec.budget_s
        return met

    def job_for(self, code: str, *, direct: bool) -> dict[str, Any]:
        """What the candidate is told."""
        job = {**self.job, "code": code, "direct": direct}
        if self.usual_imports:
            job |= {"header": usual_imports(code), "recursion_limit": RECURSION_LIMIT}
        return job


_plans: dict[int, tuple[weakref.ref[TestSuite], GradingPlan]] = {}


def make_plan(tests: TestSuite) -> GradingPlan:
    """The plan of a suite, kept for as long as the suite lives. DataError where it can be none."""
    known = _plans.get(id(tests))
    if known is not None and known[0]() is tests:
        return known[1]
    try:
        plan = _BUILDERS[type(tests)](tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"the tests of style {tests.style!r} do not parse: {error}") from error
    except WireError as error:
        raise DataError(f"the tests of style {tests.style!r} cannot be run: {error}") from error
    key = id(tests)
    _plans[key] = (weakref.ref(tests, lambda _: _plans.pop(key, None)), plan)
    return plan


def _plan(tests: TestSuite, spec: Spec, *, entries: Sequence[str] = (), given: str = "") -> GradingPlan:
    """The plan of `spec`, whose limits follow from the suite; the first of `entries` that there is will be called."""
    total = spec.total or sum(not item.get("setup") for item in spec.items)
    if total == 0:
        raise DataError(f"the tests of style {tests.style!r} hold no test")
    timeout_s, load_timeout_s = tests.timeout_s or DEFAULT_TIMEOUT_S, tests.load_timeout_s or LOAD_TIMEOUT_S
    texts = _texts(tests)
    watched = [name for name, words in _WATCHED.items() if _mention(*words, among=texts)]
    job = {
        "style": spec.style,
        "prelude": spec.prelude or given,
        "entries": entries,
        "watched": watched,
        "observed": spec.style == "module" or bool(watched) or _mention("stdout", "stderr", among=texts),
        "lends_input": _mention("input'", 'input"', "builtins.input", ".input", "stdin", among=texts),
    }
    return GradingPlan(
        job=job,
        spec=spec._replace(
            total=total,
            with_numpy=_mention("numpy", "np.", among=texts),
            says_what_it_expects=spec.live and says_what_it_expects(*_to_read(spec)),
            asks_types=_mention("type(", among=texts) and not _mention("(type)", "metaclass", among=texts),
            timeout_s=timeout_s,
            load_timeout_s=load_timeout_s,
            budget_s=load_timeout_s + min(total * timeout_s, max(MAX_BUDGET_S, timeout_s)),
        ),
        memory_mb=tests.memory_mb,
        usual_imports=isinstance(tests, FunctionTests),
        out_of_reach=out_of_reach(texts),
        imports="pytest" if spec.needs_pytest else "numpy" if _mention("numpy", among=texts) else "",
    )


def _to_read(spec: Spec) -> tuple[list[str], Iterable[str]]:
    """Sources of the tests, and the solution's names in them."""
    if spec.style == "module":
        return [spec.source], names_of_solution(spec.source)
    sources = [spec.setup, *(item["source"] for item in spec.items if "args" not in item)]
    return sources, (spec.entry_name, *spec.names)


_WATCHED = {"capfd": ("capfd",), "warnings": ("warn",), "logging": ("caplog", "logging", "assertLogs")}


def _texts(tests: TestSuite) -> list[str]:
    """Source of the tests."""
    if isinstance(tests, AssertTests):
        return [tests.setup, *tests.tests]
    return [getattr(tests, field, "") for field in ("prelude", "check", "test")]


def _mention(*words: str, among: list[str]) -> bool:
    return any(word in text for text in among for word in words)


def _no_export(value: Any, in_key: bool) -> Any:
    raise DataError(f"a test holds a {type(value).__name__}, which is not plain data")


def _encode(value: Any) -> Any:
    return Encoder({}, _no_export).encode(value)


def call_item(args: Iterable[Any], kwargs: dict[str, Any], expected: Any, source: str = "") -> dict[str, Any]:
    """A call with known arguments and a known result."""
    item = {"args": _encode((tuple(args), tuple(kwargs.items()))), "expected": _encode(expected)}
    return {**item, "source": source} if source else item


def _function_plan(tests: FunctionTests) -> GradingPlan:
    in_class = f"{tests.class_name or 'Solution'}().{tests.entry_point}"
    # As the reference graders have it: a class where a function was asked for is as good, and the other way round.
    entries = (in_class, tests.entry_point) if tests.class_name else (tests.entry_point, in_class)
    wrapped = all(isinstance(case.expected, list) and len(case.expected) == 1 for case in tests.tests)
    spec = Spec(
        "calls",
        [
            call_item(args, {}, case.expected)
            for args, case in zip(_arguments(tests), tests.tests, strict=True)
        ],
        entry_name=tests.entry_point,
        compare="json_wrapped" if wrapped else "json",
    )
    return _plan(tests, spec, entries=entries)


def _arguments(tests: FunctionTests) -> Iterator[Sequence[Any]]:
    """Of every call. JSON made strings of a dict's whole keys, which APPS's grader makes whole again.

    Here that is done where every dict that stands at this place in the row's calls has such keys: where one has others,
    its keys are texts.
    """
    calls = [case.args for case in tests.tests]
    columns = itertools.zip_longest(*calls)
    whole = [all(map(_may_have_whole_keys, column)) for column in columns]
    for args in calls:
        yield [
            {int(key): item for key, item in value.items()} if is_whole and type(value) is dict else value
            for value, is_whole in zip(args, whole, strict=False)
        ]


def _may_have_whole_keys(value: Any) -> bool:
    return type(value) is not dict or all(type(key) is str and _WHOLE_KEY.fullmatch(key) for key in value)


def _own_names(tests: TestSuite, sources: Sequence[str]) -> set[str]:
    """Names of libraries that the tests ask of the solution; where that has none, they are the library's."""
    return asked_of_solution(sources, tests.classes or (), tests.defines or ())


def _classes(tests: TestSuite, sources: Iterable[str], also_called: Mapping[str, str] = {}) -> Sequence[str]:
    return used_as_classes(sources, also_called) if tests.classes is None else tests.classes


def _assert_plan(tests: AssertTests) -> GradingPlan:
    sources = [*([tests.setup] if tests.setup.strip() else []), *tests.tests]
    names = free_names(sources)
    mine = _own_names(tests, sources)
    library = library_names().keys() - mine
    entry = tests.entry_point or first_called(tests.tests, library, assigned_names(tests.setup))
    own = libraries(sources, [name for name in names if name != entry])
    is_given = entry in library or hasattr(builtins, entry)
    if is_given and not tests.entry_point and any(name not in own and name != entry for name in names):
        # What the tests are about is never called there: they look at its signature.
        entry, own = "", libraries(sources, names)
    classes = _classes(tests, sources)
    asked = [
        name for name in names if (name not in own or name in mine) and (name != entry or name in classes)
    ]
    spec = Spec(
        "calls",
        # What a class makes is an object of the tests', and no answer to be compared as data.
        [statement_item(source, "" if entry in classes else entry, call_item) for source in tests.tests],
        entry_name=entry,
        setup=tests.setup,
        names=asked,
        libraries=own,
        used_as_classes=classes,
        live=shows_changes(sources, asked) or not set(classes).isdisjoint([*asked, entry]),
    )
    # In the reference protocol both share a namespace: what the set-up imports is there for the solution, too.
    return _plan(tests, spec, entries=[entry] if entry else [], given=import_statements(tests.setup))


def _check_plan(tests: CheckTests) -> GradingPlan:
    parameter, body = check_body(tests.check, tests.prelude)
    classes = _classes(tests, [tests.check], {parameter: tests.entry_point.rpartition(".")[2]})
    if tests.entry_point in classes:
        classes = [*classes, parameter]
    compared = "" if parameter in classes else parameter
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
                statement_item(source, compared, call_item) if is_test else {"source": source, "setup": True}
            )
    given = {parameter} | assigned_names(tests.prelude)
    names = [name for name in names if name not in given]
    own = libraries([tests.check], [name for name in names if name != tests.entry_point])
    mine = _own_names(tests, [tests.check])
    asked = [name for name in names if name not in own or name in mine]
    spec = Spec(
        "calls",
        items,
        entry_name=parameter,
        prelude=tests.prelude,
        names=asked,
        libraries=own,
        used_as_classes=classes,
        live=shows_changes([tests.check], asked) or not set(classes).isdisjoint([*asked, parameter]),
    )
    return _plan(tests, spec, entries=[tests.entry_point])


def _stdio_plan(tests: StdioTests) -> GradingPlan:
    # A lone surrogate has no bytes that a program could read.
    inputs = [case.input.encode("utf-8", "replace").decode() for case in tests.tests]
    items = [{"stdin": text, "expected": case.output} for text, case in zip(inputs, tests.tests, strict=True)]
    return _plan(tests, Spec("program", items))


def _pytest_plan(tests: PytestTests) -> GradingPlan:
    from_star = "import *" in tests.test
    spec = Spec(
        "module",
        total=max(1, test_function_count(tests.test)),
        source=tests.test,
        needs_pytest=needs_pytest(tests.test),
        skipped=skipped_in_the_text(tests.test),
        libraries=libraries([tests.test], free_names([tests.test]), may_be_tested=True) if from_star else {},
        used_as_classes=_classes(tests, [tests.test]),
        names=[name for name in sorted(_own_names(tests, [tests.test])) if _is_taken(name)],
        live=True,
    )
    return _plan(tests, spec)


def _is_taken(name: str) -> bool:
    """Whether a library or the builtins have the name, too."""
    return is_library_name(name) or hasattr(builtins, name)


_BUILDERS: dict[type[TestSuite], Callable[[Any], GradingPlan]] = {
    FunctionTests: _function_plan,
    AssertTests: _assert_plan,
    CheckTests: _check_plan,
    StdioTests: _stdio_plan,
    PytestTests: _pytest_plan,
}

"""Style `pytest` in the judge: the test module runs here, and its `solution` is a module of proxies."""

import builtins
import itertools
import os
import re
import sys
import textwrap
import types
from collections.abc import Mapping, Sequence
from typing import Any

from verl_coder.grading.programs.asked import names_of_solution
from verl_coder.grading.programs.earlier import HISTORY
from verl_coder.grading.programs.execution import guard_text_runners
from verl_coder.grading.programs.failures import (
    NOT_FOR_TESTS,
    CandidateLost,
    TestTimedOut,
    TimeLimit,
    compile_tests,
)
from verl_coder.grading.programs.guards import guard_pytest
from verl_coder.grading.programs.kinds import given_names
from verl_coder.grading.programs.libraries import find_library
from verl_coder.grading.programs.reading import watch
from verl_coder.grading.programs.record import GradingRecord
from verl_coder.grading.programs.remote import CandidateChannel
from verl_coder.grading.programs.wire import SHARED_MODULES

_PYTEST_OPTIONS = (
    "-pno:cacheprovider", "-pno:faulthandler", "-q", "--no-header", "--tb=short", "-c/dev/null", "--rootdir=.",
    "--noconftest", "--assert=plain",
    # What only matters for a report: it costs at every test.
    "-pno:pastebin", "-pno:stepwise", "-pno:setuponly", "-pno:setupplan",
)  # fmt: skip
_WARNING_OPTIONS = ("-pno:threadexception", "-pno:unraisableexception")
"""Without the plugins that warn of what a thread or a `__del__` raised: they cost at every test."""
_NOTHING_COLLECTED = "no test was collected"
_WARNED_OF = ("filterwarnings", "thread", "Thread", "__del__")


_MISSING = object()
_OWN_ATTRIBUTES = ("_asked", "_candidate", "_libraries", "_read", "_replaced")


class SolutionModule(types.ModuleType):
    """`solution`: each name is asked for once a worker, when the tests first use it.

    `libraries` are names that are the judge's own, unless they are `asked` of the solution and it has them. Of a star
    import the tests get what their `source` names: the rest, with what the solution took from libraries, nobody reads.
    """

    def __init__(
        self,
        candidate: CandidateChannel,
        libraries: Mapping[str, str],
        asked: Sequence[str] = (),
        source: str = "",
    ) -> None:
        super().__init__("solution")
        self._asked = frozenset(asked)
        names_by_text = re.search(r"\b(globals|locals|vars|dir|eval|exec|getattr)\(", source)
        self._read = None if names_by_text else frozenset(re.findall(r"\w+", source))
        self._candidate = candidate
        self._libraries = libraries
        self._replaced: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        if name == "__all__":
            reply = self._candidate.ask({"op": "public"})
            taken = sys._getframe(1).f_globals
            names = [str(name) for name in reply["r"]]
            names = [name for name in names if self._may_export(name, taken)]
            return [*self._libraries, *(name for name in names if name not in self._libraries)]
        home = self._libraries.get(name, name if name in SHARED_MODULES else "")
        found, value = self._candidate.describe(name) if not home or name in self._asked else (False, None)
        if not found and home:
            return find_library(home)
        if not found:
            raise AttributeError(f"the solution defines no {name!r}")
        return value

    def _may_export(self, name: str, taken: dict[str, Any]) -> bool:
        """What `import *` may bring: nothing that the tests rely on, nothing that pytest would collect."""
        if name in taken or (self._read is not None and name not in self._read):
            return False
        if hasattr(builtins, name) and name not in self._asked:
            return False
        if name in sys.stdlib_module_names and name not in self._asked:
            return False
        return not name.lower().startswith(("test", "pytest", "setup", "teardown", "numpy", "np"))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__") or name in _OWN_ATTRIBUTES:
            super().__setattr__(name, value)
            return
        if name not in self._replaced:
            self._replaced[name] = getattr(self, name, _MISSING)
        self._candidate.ask({"op": "global", "name": name}, value=value)

    def __delattr__(self, name: str) -> None:
        """What the tests have set goes, and what was there before comes back, as where attributes are inherited."""
        before = self._replaced.pop(name, _MISSING)
        message = {"op": "global", "name": name}
        self._candidate.ask(message, **({} if before is _MISSING else {"value": before}))


def run_module(record: GradingRecord, candidate: CandidateChannel) -> None:
    """Run the tests of the spec's `source`: plain functions directly, anything that needs pytest under it."""
    candidate.read_tests(record.spec.source)
    if record.spec.says_what_it_expects:
        watch(names_of_solution(record.spec.source))
    spec = record.spec
    sys.modules["solution"] = SolutionModule(candidate, spec.libraries, spec.names, spec.source)
    if record.spec.needs_pytest:
        _run_under_pytest(record, candidate)
    else:
        _run_functions(record, candidate)


def _run_functions(record: GradingRecord, candidate: CandidateChannel) -> None:
    names: dict[str, Any] = {}

    def load() -> None:
        """The proxies of an earlier worker are dead, so for each worker the tests import afresh."""
        nonlocal names
        module = sys.modules["test_solution"] = types.ModuleType("test_solution")
        names = module.__dict__
        module.__file__ = os.path.abspath("test_solution.py")
        names.update(given_names(asks_types=record.spec.asks_types))
        guard_text_runners(names, record.spec.source, candidate.refused)
        exec(compile_tests(record.spec.source, "<tests>"), names)

    def run(test: str) -> dict[str, str]:
        HISTORY.begin_test()
        if isinstance(names[test](), types.GeneratorType):
            raise TypeError("a test that yields does not run")
        return {}

    record.start(candidate, load)
    tests = [n for n, v in names.items() if n.startswith("test") and isinstance(v, types.FunctionType)]
    if not tests:
        record.fail_load("e", _NOTHING_COLLECTED)
    # Of two functions with one name the module has the second.
    record.total = len(tests)
    for test in tests:
        if record.skip_settled():
            continue
        record.ensure_worker(candidate, load)
        letter, words = record.attempt(candidate, run, test)
        # A bare `assert` that failed has no words of its own.
        record.add(letter, test, words.get("message") or "assertion failed")


def _run_under_pytest(record: GradingRecord, candidate: CandidateChannel) -> None:
    record.start(candidate)
    try:
        import pytest
    except ImportError:
        record.fail_sandbox("the tests need pytest, which the sandbox's Python lacks")
    guard_pytest()
    plugin = _Plugin(record, candidate)
    quiet = not any(word in record.spec.source for word in _WARNED_OF)
    pytest.main([*_PYTEST_OPTIONS, *(_WARNING_OPTIONS if quiet else ())], plugins=[plugin])
    record.total = plugin.collected or record.total
    if not record.status:
        record.fail_load("e", plugin.collect_error or _NOTHING_COLLECTED)


class _Plugin:
    """Records each test's verdict as pytest reports it; time-outs by the judge's alarm."""

    def __init__(self, record: GradingRecord, candidate: CandidateChannel) -> None:
        self.record = record
        self.candidate = candidate
        self.collected = 0
        self.collect_error = ""
        self.failed_parts: list[Any] = []
        self.gave_up = False
        """Whether the test called `pytest.xfail()`."""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Of the parts of a test (`subTest`) alone: the test goes on after one fails, and its own report is a pass."""
        if report.failed:
            self.failed_parts.append(report)

    def pytest_collection(self, session: Any) -> bool:
        """The tests are collected from memory: in a single request the solution may write to the folder."""
        import pytest

        source, path = self.record.spec.source, session.path / "test_solution.py"
        limit_s, refused = self.record.limit_s, self.candidate.refused
        given = given_names(asks_types=self.record.spec.asks_types)

        class TestsInMemory(pytest.Module):
            def _getobj(self) -> types.ModuleType:
                module = sys.modules["test_solution"] = types.ModuleType("test_solution")
                module.__file__ = str(path)
                module.__dict__.update(given)
                guard_text_runners(module.__dict__, source, refused)
                with TimeLimit(limit_s):
                    exec(compile_tests(source, str(path)), module.__dict__)
                return module

        found = list(session.genitems(TestsInMemory.from_parent(session, path=path)))
        session.items = [item for item in found if not self._is_left_out(item)]
        if found and all(map(self._may_fail, session.items)):
            self.collect_error = "all tests are skipped, or expected to fail"
            session.items = []
        session.testscollected = self.collected = len(session.items)
        return True

    def _is_left_out(self, item: Any) -> bool:
        """Whether the tests' own text skips the test or lets it fail, which says nothing of the solution then."""
        from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

        if not self._is_marked(item):
            return False
        marked = any(getattr(part, "__unittest_skip__", False) for part in (item.obj, item.cls))
        if marked or evaluate_skip_marks(item) is not None:
            return True
        fails = evaluate_xfail_marks(item)
        return fails is not None and (not fails.run or (fails.raises is None and not fails.strict))

    def _is_marked(self, item: Any) -> bool:
        return item.nodeid.partition("::")[2].partition("[")[0] in self.record.spec.skipped

    def _may_fail(self, item: Any) -> bool:
        """Whether the tests' own text says that the test is to fail: a solution that fails as it wants passes it."""
        from _pytest.skipping import evaluate_xfail_marks

        if not self._is_marked(item):
            return False
        return _is_expected_by_unittest(item) or evaluate_xfail_marks(item) is not None

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        import pytest

        if call.excinfo is not None and isinstance(call.excinfo.value, pytest.xfail.Exception):
            self.gave_up = True

    def _is_as_the_text_says(self, item: Any, report: Any) -> bool:
        """Whether a test that failed was to fail, by its decorator and not by what it called in running."""
        if not hasattr(report, "wasxfail") or not self._may_fail(item):
            return False
        return not self.gave_up or _is_expected_by_unittest(item)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.collect_error = (str(report.longrepr).strip() or "collection failed").splitlines()[-1][:400]

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> bool:
        from _pytest.runner import runtestprotocol

        record, candidate = self.record, self.candidate
        if record.resume or record.skip_settled():
            return True
        if candidate.broken and candidate.direct:
            record.resume = True
            return True
        if record.is_over:
            record.add("n", item.name)
            return True
        if candidate.broken:
            # What the tests imported finds the fresh worker by its name.
            record.start(candidate)
        candidate.refusal = ""
        HISTORY.begin_test()
        self.failed_parts, self.gave_up = [], False
        try:
            with record.test_limit() as limit:
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            ended = record.ended_by(candidate, limit)
        except NOT_FOR_TESTS as error:
            ended = error
        if ended is not None:
            candidate.broken = candidate.broken or isinstance(ended, (TestTimedOut, CandidateLost))
            with candidate.silent():
                letter, message = record.explain(ended)
            record.add(letter, item.name, message)
            return True
        bad = [report for report in (*self.failed_parts, *reports) if report.failed]
        if bad:
            what, *more = _raised_last(str(bad[0].longrepr)) or ["failed"]
            kind = "f" if "assert" in what.partition(":")[0].lower() else "e"
            record.add(kind, item.name, "\n".join([what, *more]))
        elif skipped := [report for report in reports if report.skipped]:
            if all(self._is_as_the_text_says(item, report) for report in skipped):
                record.add("p")
            else:
                words = "was expected to fail" if hasattr(skipped[0], "wasxfail") else "was skipped"
                record.add("e", item.name, f"the test {words}")
        else:
            record.add("p")
        return True


def _raised_last(traceback: str) -> list[str]:
    """The lines of the last exception of a report; pytest marks them, and those of what it came of before it."""
    blocks = itertools.groupby(traceback.splitlines(), lambda line: re.match(r"E( |$)", line) is not None)
    marked = [[line[1:] for line in lines] for is_marked, lines in blocks if is_marked]
    return textwrap.dedent("\n".join(marked[-1])).strip().splitlines() if marked else []


def _is_expected_by_unittest(item: Any) -> bool:
    return any(
        getattr(part, "__unittest_expecting_failure__", False) is True
        for part in (item.obj, getattr(item, "cls", None))
    )

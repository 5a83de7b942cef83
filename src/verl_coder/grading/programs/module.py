"""Style `pytest`: the test module runs in the judge, and its `solution` is a module of proxies."""

import builtins
import sys
import types
from typing import TYPE_CHECKING, Any

from verl_coder.grading.programs.failures import CandidateLost, TestTimedOut, time_limit

if TYPE_CHECKING:
    from verl_coder.grading.programs.judge import Judge


class SolutionModule(types.ModuleType):
    """`solution`: each name is asked for once a worker, when the tests first use it."""

    def __init__(self, judge: "Judge") -> None:
        super().__init__("solution")
        self._judge = judge

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        if name == "__all__":
            reply = self._judge.candidate.ask({"op": "public"})
            taken = sys._getframe(1).f_globals
            return [str(name) for name in reply["r"] if _may_be_exported(str(name), taken)]
        found, value = self._judge.candidate.describe(name)
        if not found:
            raise AttributeError(f"the solution defines no {name!r}")
        return value


def _may_be_exported(name: str, taken: dict[str, Any]) -> bool:
    """What `from solution import *` may bring: nothing that the tests rely on, nothing that pytest would collect."""
    if name in taken or name in sys.stdlib_module_names or hasattr(builtins, name):
        return False
    return not name.lower().startswith(("test", "pytest", "setup", "teardown", "numpy", "np"))


def run_module(judge: "Judge") -> None:
    """Run the tests of `spec["source"]`; plain test functions directly, anything that needs pytest under it."""
    source = judge.spec["source"]
    judge.candidate.read_tests(source)
    sys.modules["solution"] = SolutionModule(judge)
    if judge.spec["needs_pytest"]:
        _run_under_pytest(judge, source)
    else:
        _run_functions(judge, source)


def _load(judge: "Judge", source: str) -> dict[str, Any] | None:
    module = types.ModuleType("test_solution")
    sys.modules["test_solution"] = module
    try:
        with time_limit(min(judge.spec["timeout_s"], judge._left())):
            exec(compile(source, "<tests>", "exec"), module.__dict__)
    except (Exception, TestTimedOut, CandidateLost) as error:
        letter, message = judge._explain(error)
        judge.load_error = {"status": letter, "message": message}
        return None
    return module.__dict__


def _run_functions(judge: "Judge", source: str) -> None:
    names = _load(judge, source)
    if names is None:
        return
    order = [
        name
        for name, value in names.items()
        if name.startswith("test") and isinstance(value, types.FunctionType)
    ]
    for name in order:
        if judge._skipped():
            continue
        judge._ensure_worker()
        if judge.fresh_names:
            # A new worker: the proxies of the old one are dead, so the tests import afresh.
            judge.fresh_names = False
            names = _load(judge, source)
            if names is None:
                return
        item = {"source": name}
        try:
            with time_limit(min(judge.spec["timeout_s"], judge._left())):
                names[name]()
        except (Exception, TestTimedOut, CandidateLost) as error:
            letter, _, message = judge._failed(item, error)
            judge._record(letter, item, message=message or "assertion failed")
        else:
            judge._record("p", item)


def _run_under_pytest(judge: "Judge", source: str) -> None:
    try:
        import pytest
    except ImportError:
        judge.load_error = {
            "status": "i",
            "message": "the tests need pytest, which the sandbox's Python lacks",
        }
        return
    with open("test_solution.py", "w") as file:
        file.write(source)
    plugin = _Plugin(judge)
    options = [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:faulthandler",
        "-q",
        "--no-header",
        "--tb=short",
        "-c",
        "/dev/null",
    ]
    options += ["--rootdir=.", "--confcutdir=.", "--assert=plain"]
    pytest.main([*options, "test_solution.py"], plugins=[plugin])
    if not judge.status and judge.load_error is None:
        judge.load_error = {"status": "e", "message": plugin.collect_error or "no test was collected"}
    judge.spec["total"] = max(judge.spec["total"] if not plugin.collected else 0, plugin.collected)


class _Plugin:
    """Records each test's verdict as pytest reports it; time-outs by the judge's alarm."""

    def __init__(self, judge: "Judge") -> None:
        self.judge = judge
        self.collected = 0
        self.collect_error = ""

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            lines = str(report.longrepr).strip().splitlines()
            self.collect_error = (lines[-1] if lines else "collection failed")[:400]

    def pytest_collection_finish(self, session: Any) -> None:
        self.collected = len(session.items)

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> bool:
        from _pytest.runner import runtestprotocol

        judge = self.judge
        place = {"source": item.name}
        if judge.resume or judge._skipped():
            return True
        if judge.candidate.broken and judge.candidate.direct:
            judge.resume = True
            return True
        if judge.timeouts >= judge.spec["max_timeouts"] or judge._left() <= 0 or judge.candidate.broken:
            judge._record("n", place)
            return True
        try:
            with time_limit(min(judge.spec["timeout_s"], judge._left())):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
        except (TestTimedOut, CandidateLost) as error:
            letter, _, message = judge._failed(place, error)
            judge._record(letter, place, message=message)
            return True
        bad = [report for report in reports if report.failed]
        skipped = any(report.skipped for report in reports)
        if not bad and not skipped:
            judge._record("p", place)
        elif not bad:
            judge._record("e", place, message="the test was skipped")
        else:
            lines = str(bad[0].longrepr).strip().splitlines()
            text = next((line[1:].strip() for line in reversed(lines) if line.startswith("E")), "")
            judge._record("f" if "assert" in text.lower() else "e", place, message=text or "failed")
        return True

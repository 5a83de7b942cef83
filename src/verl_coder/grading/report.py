"""What grading says: a verdict with the tests behind it. What it is worth is the reward's business."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from verl_coder.words import counted

Outcome = Literal["passed", "failed", "error", "timeout", "no_code", "sandbox_unavailable"]
OF_ITS_MOMENT = frozenset[Outcome]({"timeout"})
"""Outcomes that another load of the machine may turn: they hold for the start that found them."""
TestStatus = Literal["passed", "failed", "error", "timeout", "not_run"]
Strength = Literal["pair", "single_request", "none"]
"""`pair`: tests and solution in two isolations. `single_request`: two processes of one. `none`: nothing ran."""


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """One test. The texts are short renderings and only stand on the first tests that did not pass."""

    __test__ = False
    index: int
    status: TestStatus
    input: str = ""
    expected: str = ""
    got: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class TestReport:
    """The verdict on one solution; `pass_rate` is passed / total, in [0, 1]."""

    __test__ = False
    outcome: Outcome
    passed: int
    total: int
    tests: tuple[TestResult, ...] = ()
    strength: Strength = "none"
    unsplittable: int = 0
    """Uses that cannot be split between two processes; each fails its test rather than weaken the split.

    Of tests that use something out of the solution's reach: those that did not pass.
    """
    message: str = ""
    time_up: bool = field(default=False, compare=False)
    """Tests were not run because the time for all of them was up, and not because nothing could be loaded."""
    cpu_share: float | None = field(default=None, compare=False)
    """At least so much of the limits that it met was CPU time; None where it met none, or nobody knows."""

    @property
    def met_limit(self) -> bool:
        """Whether a limit of time decided something of the verdict."""
        return self.outcome == "timeout" or self.time_up or any(t.status == "timeout" for t in self.tests)

    @property
    def pass_rate(self) -> float:
        """Share of all tests that passed."""
        return self.passed / self.total if self.total else 0.0

    def with_limits(self, out_of_reach: Sequence[str]) -> "TestReport":
        """This report, or where a test did not pass and the tests use what is out of reach, one that says so."""
        if self.outcome == "passed" or not out_of_reach:
            return self
        words = f"the tests use {', '.join(out_of_reach)}, which the solution's process does not see"
        return replace(
            self,
            unsplittable=max(self.unsplittable, self.total - self.passed),
            message=f"{self.message} ({words})",
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        tests = [{k: v for k, v in asdict(test).items() if v != ""} for test in self.tests]
        return {**asdict(self), "pass_rate": self.pass_rate, "tests": tests}

    def explain(self) -> str:
        """The verdict in words: which tests did not pass, what was expected and what came."""
        lines = [f"{self.outcome}: {self.passed} of {self.total} tests passed ({_APART[self.strength]})"]
        if beyond := self._message_beyond_tests():
            lines.append(beyond)
        not_run = 0
        for test in self.tests:
            if test.status == "not_run":
                not_run += 1
            elif test.status != "passed":
                lines.append(f"test {test.index}: {_WORDS[test.status]}")
                for name in ("input", "expected", "got", "message"):
                    if text := getattr(test, name):
                        lines.append(f"  {name}: {text}")
        if not_run:
            lines.append(f"not run: {counted(not_run, 'test')}")
        return "\n".join(lines)

    def _message_beyond_tests(self) -> str:
        """What the message says that the lines of the tests do not: it begins with the first one that did not pass."""
        first = next((test for test in self.tests if test.status not in ("passed", "not_run")), None)
        return self.message.removeprefix(_first_words(first)).strip() if first else self.message


_APART: dict[Strength, str] = {
    "pair": "tests and program in sandboxes of their own",
    "single_request": "tests and program in one sandbox",
    "none": "nothing was run",
}
_LETTERS: dict[str, TestStatus] = {"p": "passed", "f": "failed", "e": "error", "t": "timeout", "n": "not_run"}
_OUTCOMES: dict[TestStatus, Outcome] = {"failed": "failed", "error": "error", "timeout": "timeout"}
_WORDS: dict[TestStatus, str] = {"failed": "wrong answer", "error": "error", "timeout": "time-out"}


def _first_words(test: TestResult) -> str:
    words = f"test {test.index}: {_WORDS[test.status]}"
    if test.message:
        words += f": {test.message}"
    elif test.expected:
        words += f": expected {test.expected}, got {test.got}"
    return words


def _printable(text: str) -> str:
    """Text that any file takes: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def empty_report(outcome: Outcome, total: int, message: str) -> TestReport:
    """A report without a run."""
    return TestReport(outcome=outcome, passed=0, total=total, message=message)


def report_from_judge(raw: Mapping[str, Any], *, strength: Strength) -> TestReport:
    """The report that the judge wrote."""
    details = {index: {k: _printable(v) for k, v in words.items()} for index, words in raw["details"].items()}
    tests = tuple(
        TestResult(index=index, status=_LETTERS[letter], **details.get(str(index), {}))
        for index, letter in enumerate(raw["status"])
    )
    passed = raw["status"].count("p")
    load = raw["load"]
    if load is not None:
        outcome, message = _OUTCOMES[_LETTERS[load["status"]]], _printable(str(load["message"]))
    elif tests and passed == len(tests):
        outcome, message = "passed", ""
    else:
        first = next((test for test in tests if test.status not in ("passed", "not_run")), None)
        if first:
            outcome, message = _OUTCOMES[first.status], _first_words(first)
        elif raw["time_up"]:
            outcome, message = "timeout", "the time for all tests is up"
        else:
            outcome, message = "error", "not all tests were run"
    return TestReport(
        outcome=outcome,
        passed=passed,
        total=len(tests),
        tests=tests,
        strength=strength,
        unsplittable=int(raw["unsplittable"]),
        message=message,
        time_up=bool(raw["time_up"]),
    )

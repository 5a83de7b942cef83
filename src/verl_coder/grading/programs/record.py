"""The record of a grading: a letter for each test, words for those that did not pass, and the time that is left."""

import reprlib
import time
from collections.abc import Callable
from typing import Any, NoReturn

from verl_coder.grading.programs.failures import (
    ENDS,
    NOT_FOR_TESTS,
    CandidateLost,
    Refused,
    TestTimedOut,
    TimeLimit,
    Unsplittable,
)
from verl_coder.grading.programs.proxies import Remote, describe
from verl_coder.grading.programs.remote import CandidateChannel
from verl_coder.grading.programs.spec import Spec

MAX_DETAILS = 20
MAX_TIMEOUTS = 3
"""After so many time-outs the rest is not run: a solution that hangs would otherwise cost minutes."""
_MAX_TEXT = 2000
"""Characters of any text in a report: what the solution says is as long as it likes, a sandbox cuts what is printed."""
OPEN = "?"
_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxother, _repr.maxlong = 8, 300, 300, 300
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxfrozenset = _repr.maxdeque = 60


class Stop(Exception):
    """No further test is to run."""


class GradingRecord:
    """Letters: p passed, f failed (wrong answer), e error, t time-out, n not run, ? left to a later request."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.total = spec.total
        self.status: list[str] = []
        self.resume = False
        self._deadline = time.monotonic() + spec.budget_s
        self._timeouts = spec.timeouts
        self._provisional = dict(spec.provisional)
        self._confirmed = 0
        self.refuted = False
        """Whether a test that failed in a shared process has passed in one of its own."""
        self._details: dict[int, dict[str, str]] = {}
        self._load_error: dict[str, str] | None = None
        self._sandbox_error = ""

    def report(self, unsplittable: int) -> dict[str, Any]:
        """What the grader reads; `resume` asks it for one more request, `infrastructure` blames the sandbox."""
        if self._sandbox_error:
            return {"infrastructure": self._sandbox_error[:_MAX_TEXT]}
        if not self.resume:
            self.status.extend("n" * (self.total - len(self.status)))
        return {
            "status": "".join(self.status),
            "details": {index: _cut(words) for index, words in self._details.items()},
            "unsplittable": unsplittable,
            "timeouts": self._timeouts,
            "provisional": self._provisional,
            "load": _cut(self._load_error) if self._load_error is not None else None,
            "time_up": "n" in self.status and self._load_error is None and self.is_over,
            "resume": self.resume,
        }

    @property
    def limit_s(self) -> float:
        """Seconds that the next test may take."""
        return min(self.spec.timeout_s, self.left_s)

    def test_limit(self) -> TimeLimit:
        """The limit of the next test: the talk with the solution may take as long again."""
        return TimeLimit(self.limit_s, most_s=min(2 * self.limit_s, self.left_s))

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return self._deadline - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the time is up, or too many tests have timed out."""
        return self._timeouts >= MAX_TIMEOUTS or self.left_s <= 0

    @property
    def wants_details(self) -> bool:
        """Whether words about one more test are kept."""
        return len(self._details) < MAX_DETAILS

    def add(self, letter: str, test: str = "", message: str = "", expected: str = "", got: str = "") -> None:
        """The next test's letter and, where it did not pass, words; Stop where the first failure ends the run."""
        index = len(self.status)
        if guess := self._provisional.get(str(index)):
            self._confirmed += guess == letter
            self.refuted = self.refuted or letter == "p"
        self._timeouts += letter == "t"
        self.status.append(letter)
        if letter == "p":
            return
        if self.wants_details:
            words = {"input": test[:400], "message": message[:600], "expected": expected, "got": got}
            self._details[index] = {key: value for key, value in words.items() if value}
        if self.spec.stop_early:
            raise Stop

    def skip_settled(self) -> bool:
        """Pass over the next test if an earlier request settled it.

        Two failures of a shared process that a fresh one confirmed settle the others.
        """
        index = len(self.status)
        letter = self.spec.known[index : index + 1].replace(OPEN, "")
        if not letter and self._confirmed >= 2 and not self.refuted:
            letter = self._provisional.get(str(index), "")
        self.status.extend(letter)
        return bool(letter)

    def leave_open(self, guess: str = "") -> None:
        """Leave the next test to a later request; `guess` is what it came to so far."""
        if guess:
            self._provisional[str(len(self.status))] = guess
        self.status.append(OPEN)
        self.resume = True

    def fail_load(self, letter: str, message: str) -> NoReturn:
        """The solution or the tests could not be loaded, so no test tells anything."""
        self._load_error = {"status": letter, "message": message}
        raise Stop

    def fail_sandbox(self, message: str) -> NoReturn:
        """The sandbox is at fault: there is no verdict."""
        self._sandbox_error = message
        raise Stop

    def attempt(
        self, candidate: CandidateChannel, test: Callable[[Any], dict[str, str]], item: Any
    ) -> tuple[str, dict[str, str]]:
        """Letter and words of `test(item)`, run within its time; it returns both sides where they differ."""
        candidate.refusal = ""
        try:
            with self.test_limit() as limit:
                sides = test(item)
            ended = self.ended_by(candidate, limit)
            if ended is None:
                return "f" if sides else "p", sides
        except ENDS as error:
            refused = candidate.refusal and not isinstance(error, NOT_FOR_TESTS)
            ended = Refused(candidate.refusal) if refused else error
        if isinstance(ended, (TestTimedOut, CandidateLost)):
            candidate.broken = True
        with candidate.silent():
            letter, message = self.explain(ended)
        return letter, {"message": message}

    def ended_by(self, candidate: CandidateChannel, limit: TimeLimit) -> BaseException | None:
        """What should have ended a test that went on: it may have said `except:`."""
        if limit.expired:
            return TestTimedOut(limit.words)
        if candidate.refusal:
            return Refused(candidate.refusal)
        return CandidateLost() if candidate.broken else None

    def start(self, candidate: CandidateChannel, prepare: Callable[[], None] = lambda: None) -> None:
        """Get a fresh worker and `prepare` the tests for it; Stop where that fails."""
        words = f"the solution was not loaded within {self.spec.load_timeout_s:g} s"
        try:
            candidate.start(min(self.spec.load_timeout_s, self.left_s))
            words = f"the tests were not loaded within {self.spec.timeout_s:g} s"
            with TimeLimit(self.limit_s):
                prepare()
        except TestTimedOut:
            self.fail_load("t", words)
        except ENDS as error:
            with candidate.silent():
                ended = self.explain(error)
            self.fail_load(*ended)

    def ensure_worker(self, candidate: CandidateChannel, prepare: Callable[[], None]) -> None:
        """Before a test: a live worker and time on the clock, else Stop."""
        if self.is_over:
            raise Stop
        if candidate.broken:
            if candidate.direct:
                self.resume = True
                raise Stop
            self.start(candidate, prepare)

    def explain(self, error: BaseException) -> tuple[str, str]:
        """(letter, words) for what ended a test."""
        remote = getattr(error, "remote", None)
        if remote is not None:
            return "e", str(remote)
        if isinstance(error, TestTimedOut):
            return "t", str(error) or f"no answer within {self.spec.timeout_s:g} s"
        if isinstance(error, CandidateLost):
            return "e", "the solution's process ended before it answered"
        if isinstance(error, AssertionError):
            return "f", _text_of(error)
        if isinstance(error, Unsplittable):
            return "e", f"{error} (cannot be graded apart from it)"
        if isinstance(error, Refused):
            return "e", str(error)
        return "e", f"{type(error).__name__}: {_text_of(error)}"[:400]


def _cut(words: dict[str, str]) -> dict[str, str]:
    return {name: text[:_MAX_TEXT] for name, text in words.items()}


def _text_of(error: BaseException) -> str:
    """A short text of an exception whose message may hold anything, a number of 10,000 digits too."""
    try:
        return str(error)[:400]
    except Exception:
        return show(error.args)


def show(value: Any, limit: int = 400) -> str:
    """A short text of a value."""
    if isinstance(value, Remote):
        return describe(value)
    try:
        text = value if isinstance(value, str) and limit > 400 else _repr.repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 4] + " ..."

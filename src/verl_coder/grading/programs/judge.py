"""The judge's side: the tests, the expected values and the verdict. Nothing of the solution ever runs here.

`judge(control, spec)` returns the report: {"status": one letter a test, "details": {index: {...}}, "load": ...}.
Letters: p passed, f failed (wrong answer), e error, t time-out, n not run.
"""

import contextlib
import socket
import time
from typing import Any

from verl_coder.grading.programs.compare import same_json
from verl_coder.grading.programs.failures import CandidateLost, TestTimedOut, Unsplittable, time_limit
from verl_coder.grading.programs.frames import HELLO, WireError
from verl_coder.grading.programs.program_judge import OPEN, run_programs
from verl_coder.grading.programs.proxies import RemoteFunction
from verl_coder.grading.programs.remote import Candidate
from verl_coder.grading.programs.show import show

MAX_DETAILS = 20
BATCH_CALLS = 1000


class Stop(Exception):
    """No further test is to run."""


class Judge:
    """Runs the items of a spec in order against one candidate."""

    def __init__(self, control: socket.socket, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.control = control
        self.names: dict[str, Any] = {"__name__": "tests"}
        self.classes: dict[str, type] = {}
        self.candidate = Candidate(control, self.classes, direct=spec["direct"])
        self.candidate.write_back = spec["write_back"]
        self.deadline = time.monotonic() + spec["budget_s"]
        self.timeouts = spec["timeouts"]
        self.known: str = spec["known"]
        self.provisional: dict[str, str] = spec["provisional"]
        self.resume = False
        self.confirmed = 0
        self.own_names: set[str] = set()
        self.status: list[str] = []
        self.details: dict[int, dict[str, Any]] = {}
        self.load_error: dict[str, str] | None = None
        self.no_harness = False
        self.ready = False
        self.fresh_names = False

    def run(self) -> dict[str, Any]:
        """The report."""
        with contextlib.suppress(Stop):
            self._run()
        if self.no_harness:
            return {"infrastructure": "the candidate's process did not start"}
        if self.resume:
            return {"resume": len(self.status), **self._progress()}
        missing = self.spec["total"] - len(self.status)
        self.status.extend("n" * missing)
        return {**self._progress(), "load": self.load_error}

    def _progress(self) -> dict[str, Any]:
        return {
            "status": "".join(self.status),
            "details": self.details,
            "unsplittable": self.candidate.unsplittable,
            "timeouts": self.timeouts,
            "provisional": self.provisional,
        }

    def _await_harness(self) -> None:
        """Nothing of the solution has run yet: silence here is the sandbox's failure."""
        self.no_harness = True
        with contextlib.suppress(OSError, TestTimedOut), time_limit(self.spec["load_timeout_s"]):
            self.no_harness = self.control.recv(1) != HELLO
        if self.no_harness:
            raise Stop

    def _run(self) -> None:
        self._await_harness()
        style = self.spec["style"]
        if style == "program":
            run_programs(self)
            return
        if self.spec["prelude"]:
            exec(compile(self.spec["prelude"], "<prelude>", "exec"), self.names)
            self.classes.update(
                {
                    k: v
                    for k, v in self.names.items()
                    if isinstance(v, type) and v.__module__ == "tests" and v.__base__ is object
                }
            )
        # What the prelude gives the checker (`from math import *`), the solution must not replace.
        self.own_names = set(self.names)
        self._start()
        self.fresh_names = False
        if style == "module":
            from verl_coder.grading.programs.module import run_module

            run_module(self)
            return
        sources = [
            self.spec["prelude"],
            self.spec["setup"],
            *(item.get("source", "") for item in self.spec["items"]),
        ]
        self.candidate.read_tests("\n".join(sources))
        items = [item for item in self.spec["items"] if item.get("setup") or not self._skipped()]
        position = 0
        while position < len(items):
            batch = 0
            while position + batch < len(items) and "args" in items[position + batch] and batch < BATCH_CALLS:
                batch += 1
            if batch:
                self._run_calls(items[position : position + batch])
                position += batch
            else:
                self._run_statement(items[position])
                position += 1

    def _start(self) -> None:
        """A fresh worker, the names that the tests use, and the setup; Stop where the solution cannot be loaded."""
        self.ready = False
        try:
            self.candidate.start(min(self.spec["load_timeout_s"], self._left()))
            with time_limit(min(self.spec["timeout_s"], self._left())):
                self._bind_names()
                if self.spec["setup"]:
                    exec(compile(self.spec["setup"], "<setup>", "exec"), self.names)
        except (Exception, TestTimedOut, CandidateLost) as error:
            letter, message = self._explain(error)
            self.load_error = {"status": letter, "message": message}
            raise Stop from None
        self.ready = self.fresh_names = True

    def _bind_names(self) -> None:
        entry = self.spec["entry"]
        if entry:
            self.names[entry["name"]] = RemoteFunction(self.candidate, 0, entry["name"])
        for name in self.spec["modules"]:
            self.names[name] = __import__(name)
        for name in self.spec["names"]:
            if name in self.own_names:
                continue
            found, value = self.candidate.describe(name)
            if found:
                self.names[name] = value

    def _skipped(self) -> bool:
        """Whether the next test was run by an earlier request."""
        letter = self.known[len(self.status) : len(self.status) + 1]
        if letter in ("", OPEN):
            return False
        self.status.append(letter)
        return True

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _ensure_worker(self) -> None:
        """Before a test: a live worker and time on the clock, else Stop."""
        if self.timeouts >= self.spec["max_timeouts"] or self._left() <= 0:
            raise Stop
        if self.candidate.broken or not self.ready:
            if self.candidate.direct:
                self.resume = True
                raise Stop
            self._start()

    def _run_calls(self, items: list[dict[str, Any]]) -> None:
        """Literal calls: all of them are posted in one message, the answers come back one by one."""
        done = 0
        while done < len(items):
            self._ensure_worker()
            calls = [(item["args"], item["kwargs"]) for item in items[done:]]
            try:
                self.candidate.post({"batch": calls})
            except CandidateLost as lost:
                self._record("e", items[done], message=self._explain(lost)[1])
                done += 1
                continue
            while done < len(items) and not self.candidate.broken and self._left() > 0:
                self._judge_answer(items[done])
                done += 1
            if done < len(items) and self._left() <= 0:
                raise Stop

    def _judge_answer(self, item: dict[str, Any]) -> None:
        try:
            with time_limit(min(self.spec["timeout_s"], self._left())):
                got = self.candidate.codec.decode(self.candidate.answer()["r"])
                expected = self.candidate.codec.decode(item["expected"])
                compare = self.spec["compare"]
                passed = (
                    bool(got == expected)
                    if compare == "exact"
                    else same_json(got, expected, wrapped=compare == "json_wrapped")
                )
        except (Exception, TestTimedOut, CandidateLost) as error:
            self._record(*self._failed(item, error))
            return
        if passed:
            self._record("p", item)
        else:
            self._record("f", item, expected=show(expected), got=show(got))

    def _run_statement(self, item: dict[str, Any]) -> None:
        counted = not item.get("setup")
        self._ensure_worker()
        seen: dict[str, str] = {}
        try:
            with time_limit(min(self.spec["timeout_s"], self._left())):
                passed = self._evaluate(item, seen)
        except (Exception, TestTimedOut, CandidateLost) as error:
            letter, _, message = self._failed(item, error)
            if not counted:
                self.load_error = {"status": letter, "message": f"{item['source']}: {message}"}
                raise Stop from None
            self._record(letter, item, message=message, **seen)
            return
        if counted:
            self._record("p" if passed else "f", item, **({} if passed else seen))

    def _evaluate(self, item: dict[str, Any], seen: dict[str, str]) -> bool:
        """Run one statement; `assert left == right` side by side, so that both can be shown."""
        names = self.names
        if "left" not in item:
            exec(compile(item["source"], "<test>", "exec"), names)
            return True
        got = eval(compile(item["left"], "<test>", "eval"), names)
        expected = eval(compile(item["right"], "<test>", "eval"), names)
        if got == expected:
            return True
        seen.update(expected=show(expected), got=show(got))
        return False

    def _failed(self, item: dict[str, Any], error: BaseException) -> tuple[str, dict[str, Any], str]:
        letter, message = self._explain(error)
        if letter == "t":
            self.timeouts += 1
        return letter, item, message

    def _explain(self, error: BaseException) -> tuple[str, str]:
        """(letter, words) for what ended a test."""
        remote = getattr(error, "remote", None)
        if remote is not None:
            return "e", str(remote)
        if isinstance(error, TestTimedOut):
            self.candidate.broken = True
            return "t", f"no answer within {self.spec['timeout_s']:g} s"
        if isinstance(error, CandidateLost):
            self.candidate.broken = True
            return "e", "the solution's process ended before it answered"
        if isinstance(error, WireError):
            self.candidate.broken = True
            return "e", f"the answer is not plain data: {error}"
        if isinstance(error, AssertionError):
            return "f", str(error)[:400]
        if isinstance(error, Unsplittable):
            return "e", f"{error} (cannot be graded apart from it)"
        return "e", f"{type(error).__name__}: {error}"[:400]

    def _record(
        self, letter: str, item: dict[str, Any], message: str = "", expected: str = "", got: str = ""
    ) -> None:
        if letter != "p" and len(self.details) < MAX_DETAILS:
            source = item.get("source") or self._call_text(item)
            detail = {"input": source[:400], "message": message[:600], "expected": expected, "got": got}
            self.details[len(self.status)] = {key: value for key, value in detail.items() if value}
        self.status.append(letter)
        if letter != "p" and self.spec["stop_early"]:
            raise Stop

    def _call_text(self, item: dict[str, Any]) -> str:
        if "stdin" in item:
            return str(item["stdin"])
        try:
            args = [show(value, 200) for value in self.candidate.codec.decode(item["args"])]
            args += [f"{k}={show(v, 200)}" for k, v in self.candidate.codec.decode(item["kwargs"]).items()]
        except WireError:
            return ""
        return f"{self.spec['entry']['name']}({', '.join(args)})"


def judge(control: socket.socket, spec: dict[str, Any]) -> dict[str, Any]:
    """The report of one solution."""
    return Judge(control, spec).run()

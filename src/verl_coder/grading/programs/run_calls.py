"""Styles `assert`, `check` and `function` in the judge: statements run here, calls with known arguments go out."""

import itertools
from collections.abc import Callable
from typing import Any

from verl_coder.grading.programs.ahead import sent_together, text_of_answer, text_of_question
from verl_coder.grading.programs.compare import same_json
from verl_coder.grading.programs.earlier import HISTORY
from verl_coder.grading.programs.execution import guard_text_runners
from verl_coder.grading.programs.failures import CandidateLost, compile_sides, compile_tests
from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.kinds import given_names
from verl_coder.grading.programs.libraries import find_library
from verl_coder.grading.programs.proxies import RemoteEntry
from verl_coder.grading.programs.reading import watch
from verl_coder.grading.programs.record import GradingRecord, show
from verl_coder.grading.programs.remote import AWAITED, CandidateChannel

_REBOUND = (int, float, bool, str, bytes, tuple, type(None))


def run_calls(record: GradingRecord, candidate: CandidateChannel) -> None:
    """Run the items of the spec in order, calls several at a time."""
    CallRunner(record, candidate).run()


class _Names(dict[str, Any]):
    """Globals of the tests. A number or a text of the solution is asked for whenever it is read: it may be rebound."""

    def __init__(self, candidate: CandidateChannel) -> None:
        super().__init__(__name__="tests")
        self.candidate = candidate
        self.asked_anew: set[str] = set()

    def __missing__(self, name: str) -> Any:
        if name in self.asked_anew:
            found, value = self.candidate.describe(name)
            if found:
                return value
        raise KeyError(name)


def _is_of_numpy(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()


class CallRunner:
    """The names of the tests, and their items one after the other."""

    def __init__(self, record: GradingRecord, candidate: CandidateChannel) -> None:
        self.record = record
        self.candidate = candidate
        self.spec = record.spec
        self.names = _Names(candidate)
        self.own_names: set[str] = set()

    def run(self) -> None:
        """All items."""
        spec = self.spec
        if spec.says_what_it_expects:
            watch((spec.entry_name, *spec.names))
        sources = [spec.prelude, spec.setup, *(item.get("source", "") for item in spec.items)]
        given = given_names(asks_types=spec.asks_types)
        guard_text_runners(self.names, "\n".join(sources), self.candidate.refused)
        self.names.update(given)
        if spec.prelude:
            exec(compile_tests(spec.prelude, "<prelude>"), self.names)
            for name, value in self.names.items():
                if isinstance(value, type) and value.__module__ == "tests" and value.__base__ is object:
                    self.candidate.classes[name] = value
        # What the prelude gives the checker (`from math import *`), the solution must not replace.
        self.own_names = set(self.names) - set(given)
        self.record.start(self.candidate, self._bind_names)
        self.candidate.read_tests("\n".join(sources))
        items = [item for item in spec.items if item.get("setup") or not self.record.skip_settled()]
        for is_call, group in itertools.groupby(items, lambda item: "args" in item):
            if is_call:
                self._run_calls(list(group))
                continue
            for item in group:
                self.record.ensure_worker(self.candidate, self._bind_names)
                self._run(item, self._evaluate)

    def _bind_names(self) -> None:
        """The names that the tests use, as a fresh worker has them, and the setup."""
        if self.spec.entry_name:
            made = self.spec.entry_name in self.spec.used_as_classes
            self.names[self.spec.entry_name] = RemoteEntry(self.candidate, 0, self.spec.entry_name, made=made)
        for name, home in self.spec.libraries.items():
            if name not in self.own_names:
                self.names[name] = find_library(home)
        for name in self.spec.names:
            if name in self.own_names:
                continue
            found, value = self.candidate.describe(name)
            if found and (type(value) in _REBOUND or _is_of_numpy(value)):
                self.names.asked_anew.add(name)
                self.names.pop(name, None)
            elif found:
                self.names[name] = value
        if self.spec.setup:
            exec(compile_tests(self.spec.setup, "<setup>"), self.names)

    def _run_calls(self, items: list[dict[str, Any]]) -> None:
        """Literal calls: several are posted in one message (ahead.py), the answers come back one by one."""
        questions = [text_of_question(item["args"]) for item in items]
        answers = [text_of_answer(item["expected"]) for item in items]
        done = 0
        while done < len(items):
            self.record.ensure_worker(self.candidate, self._bind_names)
            batch = items[done : done + sent_together(questions, answers, done)]
            self.candidate.part_with_all()
            try:
                self.candidate.post({"batch": [item["args"] for item in batch]})
            except CandidateLost as lost:
                self.record.add("e", self._text(batch[0]), self.record.explain(lost)[1])
                done += 1
                continue
            for item in batch:
                if self.candidate.broken or self.record.is_over:
                    break
                self._run(item, self._judge_answer)
                done += 1

    def _judge_answer(self, item: dict[str, Any]) -> dict[str, str]:
        """Compare the next answer of the solution; both sides where they differ."""
        answer = self.candidate.answer()
        # Calls of known arguments are the grader's own, so it may await; statements of tests say whether they do.
        awaits = self.candidate.wants_coroutines or self.spec.compare != "exact"
        if answer.get("co") and not awaits:
            raise self.candidate.refused(AWAITED)
        got = self.candidate.decode(answer["r"], alone=True)
        expected = self.candidate.decode(item["expected"], alone=True)
        if self.spec.compare == "exact":
            passed = bool(got == expected)
        else:
            passed = same_json(got, expected, wrapped=self.spec.compare == "json_wrapped")
        return {} if passed else {"expected": show(expected), "got": show(got)}

    def _run(self, item: dict[str, Any], test: Callable[[dict[str, Any]], dict[str, str]]) -> None:
        letter, words = self.record.attempt(self.candidate, test, item)
        if not item.get("setup"):
            told = letter != "p" and self.record.wants_details
            self.record.add(letter, self._text(item) if told else "", **words)
        elif letter != "p":
            self.record.fail_load(letter, f"{item['source']}: {words['message']}")

    def _evaluate(self, item: dict[str, Any]) -> dict[str, str]:
        """Run one statement; both sides of an `assert left == right` where they differ."""
        names = self.names
        HISTORY.mark("")
        if "left" not in item:
            exec(compile_tests(item["source"], "<test>"), names)
            return {}
        marks, expects, left, right = compile_sides(item["left"], item["right"], "<test>")
        got = eval(left, names)
        expected = eval(right, names)
        got, expected = HISTORY.settled(marks, expects, got, expected)
        return {} if got == expected else {"expected": show(expected), "got": show(got)}

    def _text(self, item: dict[str, Any]) -> str:
        if "source" in item:
            return str(item["source"])
        try:
            positional, named = self.candidate.decode(item["args"], alone=True)
        except WireError:
            return ""
        args = [show(value, 200) for value in positional]
        args += [f"{name}={show(value, 200)}" for name, value in named]
        return f"{self.spec.entry_name}({', '.join(args)})"

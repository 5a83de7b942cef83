"""Trivial solutions, empty or constant: tests that one of them passes do not test the problem."""

import ast
import contextlib
import re
from collections.abc import Iterator
from typing import Any

from verl_coder.data.python_code import imported_from_solution, parse
from verl_coder.grading.programs.compare import same_json, same_text
from verl_coder.problems import AssertTests, CheckTests, FunctionTests, Problem, PytestTests, StdioTests

_CONSTANTS = ("None", "0", "True", "False", "[]", "''", "-1")
_PRINTED = ("YES", "NO", "0", "-1")


def trivial_solutions(problem: Problem) -> Iterator[tuple[str, str]]:
    """(what it does, code) of an empty solution and of constant ones, in the form that the tests call.

    There are none where two tests expect different results of a direct call, as no constant can pass both.
    """
    tests = problem.tests
    expected = _expected_values(problem)
    same = _same_output if isinstance(tests, StdioTests) else _same_value
    if not all(same(value, expected[0]) for value in expected[1:]):
        return
    if isinstance(tests, StdioTests):
        yield "an empty program", "pass\n"
        for text in dict.fromkeys((*_PRINTED, tests.tests[0].output.strip())):
            yield f"a program that prints {text[:40]!r}", f"print({text!r})\n"
        return
    for constant in dict.fromkeys((*_CONSTANTS, *_literals(expected[:1]))):
        code = _stub(problem, constant)
        if code:
            yield f"a function that returns {constant[:40]}", code


def _same_output(one: list[str], other: list[str]) -> bool:
    return same_text(" ".join(one), " ".join(other))


def _same_value(one: Any, other: Any) -> bool:
    """Also of two NaNs, as the grader has it."""
    return bool(one == other) or same_json(one, other)


def _literals(values: list[Any]) -> Iterator[str]:
    """How values are written in code; a number of more digits than Python reads is left out."""
    for value in values:
        with contextlib.suppress(ValueError):
            yield repr(value)


def _expected_values(problem: Problem) -> list[Any]:
    """Results that the tests compare a direct call with, where they are literals."""
    tests = problem.tests
    if isinstance(tests, StdioTests):
        return [case.output.split() for case in tests.tests]
    if isinstance(tests, FunctionTests):
        return [case.expected for case in tests.tests]
    if isinstance(tests, AssertTests):
        return _compared_literals("\n".join(tests.tests), {tests.entry_point})
    if isinstance(tests, CheckTests):
        return _compared_literals(tests.check, {"candidate"})
    if isinstance(tests, PytestTests):
        return _compared_literals(tests.test, set(_function_names(problem)[1][:1]))
    return []


def _compared_literals(source: str, names: set[str]) -> list[Any]:
    """The literals of every `assert NAME(...) == LITERAL`."""
    tree = parse(source)
    values = []
    for node in ast.walk(tree) if tree else []:
        match node:
            case ast.Assert(
                test=ast.Compare(
                    left=ast.Call(func=ast.Name(id=name)), ops=[ast.Eq()], comparators=[expression]
                )
            ) if name in names:
                try:
                    values.append(ast.literal_eval(expression))
                except (ValueError, TypeError, MemoryError, RecursionError):
                    continue
    return values


def _function_names(problem: Problem) -> tuple[str, list[str]]:
    """(class or "", names of the functions that the tests call)."""
    tests = problem.tests
    class_name, names = "", [problem.entry_point]
    if isinstance(tests, FunctionTests):
        class_name, names = tests.class_name or "", [tests.entry_point]
    elif isinstance(tests, CheckTests) and "()." in tests.entry_point:
        class_name, _, name = tests.entry_point.partition("().")
        names = [name]
    elif isinstance(tests, CheckTests | AssertTests):
        names = [tests.entry_point]
    elif isinstance(tests, PytestTests):
        names = [name for name in imported_from_solution(tests.test) if name != "*"] or names
    return class_name, [name for name in names if name.isidentifier()]


def _stub(problem: Problem, constant: str) -> str:
    """The functions that the tests call, each returning `constant`; empty where no name is known."""
    class_name, names = _function_names(problem)
    if not names:
        return ""
    if re.search(r"\b(?:inf|nan)\b", constant):
        constant = f"(lambda inf, nan: {constant})(float('inf'), float('nan'))"
    if class_name:
        return f"class {class_name}:\n    def {names[0]}(self, *args, **kwargs):\n        return {constant}\n"
    return "\n".join(f"def {name}(*args, **kwargs):\n    return {constant}\n" for name in names)

"""Solutions that know nothing of the problem: tests that one of them passes do not test it."""

from collections.abc import Iterator

from verl_coder.data.python_code import imported_from_solution
from verl_coder.problems import AssertTests, CheckTests, FunctionTests, Problem, PytestTests, StdioTests

_CONSTANTS = ("None", "0", "True", "False", "[]", "''", "-1")
_PRINTED = ("YES", "NO", "0", "-1")


def trivial_solutions(problem: Problem) -> Iterator[tuple[str, str]]:
    """(what it does, code) of an empty solution and of constant ones, in the form that the tests call."""
    tests = problem.tests
    if isinstance(tests, StdioTests):
        yield "an empty program", "pass\n"
        first = tests.tests[0].output.strip()
        for text in dict.fromkeys((*_PRINTED, first)):
            yield f"a program that prints {text[:40]!r}", f"print({text!r})\n"
        return
    constants: tuple[str, ...] = _CONSTANTS
    if isinstance(tests, FunctionTests):
        constants = tuple(dict.fromkeys((*_CONSTANTS, repr(tests.tests[0].expected))))
    for constant in constants:
        code = _stub(problem, constant)
        if code:
            yield f"a function that returns {constant[:40]}", code


def _stub(problem: Problem, constant: str) -> str:
    """Functions by the names that the tests use, each returning `constant`; empty where no name is known."""
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
    names = [name for name in names if name.isidentifier()]
    if not names:
        return ""
    if class_name:
        return f"class {class_name}:\n    def {names[0]}(self, *args, **kwargs):\n        return {constant}\n"
    return "\n".join(f"def {name}(*args, **kwargs):\n    return {constant}\n" for name in names)

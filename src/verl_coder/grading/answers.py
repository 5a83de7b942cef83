"""From a completion and its tests to the code that is graded: the one way of rewards, evaluation, teacher and shell."""

import ast
from collections.abc import Iterable, Iterator

from verl_coder.block_choice import Asked
from verl_coder.errors import DataError
from verl_coder.extraction import extract_code
from verl_coder.grading.plan import make_plan
from verl_coder.grading.statements import free_names
from verl_coder.problems import AssertTests, CheckTests, FunctionTests, PytestTests, TestSuite
from verl_coder.syntax import parse_python


def answer_code(completion: str, tests: TestSuite) -> str | None:
    """The code of the final answer (`extraction.py`); of several blocks, the one that has what the tests ask for."""
    return extract_code(completion, asked=asked_names(tests))


def asked_names(tests: TestSuite) -> Asked:
    """Names that the tests ask of the solution; none for whole programs, nor where the tests do not parse."""
    if isinstance(tests, FunctionTests):
        # The grader takes a class for a function, and the other way round.
        return (frozenset((f"{tests.class_name or 'Solution'}.{tests.entry_point}", tests.entry_point)),)
    try:
        return tuple(frozenset((name,)) for name in dict.fromkeys(_names(tests)) if name)
    except (DataError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # grading says what is wrong with them


def _names(tests: TestSuite) -> Iterable[str]:
    if isinstance(tests, PytestTests):
        return _asked_of_module(tests)
    if not isinstance(tests, (AssertTests, CheckTests)):
        return ()
    spec = make_plan(tests).spec
    if isinstance(tests, CheckTests):
        # `Solution().f` is a method of a class.
        return (tests.entry_point.replace("()", ""), *spec.names)
    return (spec.entry_name, *spec.names)


def _asked_of_module(tests: PytestTests) -> Iterator[str]:
    """What a pytest module takes from `solution`."""
    modules: set[str] = set()
    nodes = list(ast.walk(parse_python(tests.test)))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "solution":
            for alias in node.names:
                yield from [alias.name] if alias.name != "*" else _free_names(tests)
        elif isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name for alias in node.names if alias.name == "solution"}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield node.attr


def _free_names(tests: PytestTests) -> Iterator[str]:
    spec = make_plan(tests).spec
    return (name for name in free_names([tests.test]) if name not in spec.libraries or name in spec.names)

"""The tests that a prompt shows, run as the tools run them: one that the reference fails is no test of a solution."""

import ast
import builtins
from collections.abc import Iterator, Sequence
from dataclasses import replace

from verl_coder.problems import AssertTests, Problem
from verl_coder.prompts import visible_tests_of, without_visible_tests
from verl_coder.sandbox import SandboxClient
from verl_coder.syntax import parsed, statements
from verl_coder.tools.execution import InterpreterSettings, run_program
from verl_coder.tools.visible_tests import visible_tests


def shown_tests(problem: Problem) -> str:
    """The visible tests that are to be run; empty where there are none, or nothing is to be found out about them.

    That is where they are among the hidden tests behind the same set-up, and need no import that only grading gives.
    """
    text, hidden = visible_tests_of(problem.prompt), problem.tests
    if not _asserts(text) or not isinstance(hidden, AssertTests) or not {*_asserts(text)} <= {*hidden.tests}:
        return text if _asserts(text) else ""
    before = "\n".join(source for _, source in statements(text)[: -len(_asserts(text))])
    given = "\n".join(part for part in (problem.tool_prelude.strip(), before.strip()) if part)
    known = {*dir(builtins), *_names(f"{given}\n{problem.reference_solution}", ast.Store)}
    return "" if given == hidden.setup.strip() and _names(text, ast.Load) <= known else text


async def false_examples(problem: Problem, sandbox: SandboxClient) -> tuple[str, ...]:
    """Those of the visible tests that the reference fails; SandboxUnavailableError when there is no answer."""
    text = shown_tests(problem)
    tests = visible_tests(text) if text else None
    if tests is None:
        return ()
    run = await run_program(
        tests.program(problem.reference_solution),
        prelude=problem.tool_prelude,
        settings=InterpreterSettings(),
        sandbox=sandbox,
    )
    failed = tests.failed(run)
    return tuple(test for number, test in enumerate(_asserts(text), 1) if number in failed)


def without_false_examples(problem: Problem, false: Sequence[str]) -> Problem:
    """The problem whose prompt does not show these tests; as it is where there are none."""
    if not false:
        return problem
    prompt = without_visible_tests(problem.prompt, false, entry_point=problem.entry_point)
    return replace(problem, prompt=prompt)


def _asserts(text: str) -> list[str]:
    return [source for node, source in statements(text) if isinstance(node, ast.Assert)]


def _names(code: str, use: type[ast.expr_context]) -> set[str]:
    """Names that code uses, or, of those that it stores, those that it defines and imports, too."""
    tree = parsed(code)
    return set(_names_in(tree, use)) if tree else set()


def _names_in(tree: ast.AST, use: type[ast.expr_context]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, use):
            yield node.id
        elif use is ast.Store and isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif use is ast.Store and isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]

"""The tests that a prompt shows, as verification runs them: one that the reference fails is no test of a solution."""

import ast
from collections.abc import Sequence
from dataclasses import replace

from verl_coder.problems import AssertTests, Problem
from verl_coder.prompts import visible_tests_of, without_visible_tests
from verl_coder.syntax import parsed


def shown_tests(problem: Problem) -> AssertTests | None:
    """The visible asserts as the tools run them, behind prelude and set-up; None where there is nothing to find out.

    That is where none is shown, where statements stand between them, and where they are among the hidden tests, with
    the same set-up.
    """
    text = visible_tests_of(problem.prompt)
    tree = parsed(text) if text else None
    body = tree.body if tree else []
    first = next((place for place, node in enumerate(body) if isinstance(node, ast.Assert)), None)
    if first is None or not all(isinstance(node, ast.Assert) for node in body[first:]):
        return None
    lines = text.splitlines()
    asserts = tuple("\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in body[first:])
    before = "\n".join(lines[: body[first].lineno - 1])
    setup = "\n".join(part for part in (problem.tool_prelude.strip(), before.strip()) if part)
    hidden = problem.tests
    if isinstance(hidden, AssertTests) and {*asserts} <= {*hidden.tests} and setup == hidden.setup.strip():
        return None
    return AssertTests(
        tests=asserts,
        setup=setup,
        entry_point=problem.entry_point,
        timeout_s=hidden.timeout_s,
        classes=getattr(hidden, "classes", None),
        defines=getattr(hidden, "defines", None),
    )


def without_false_examples(problem: Problem, false: Sequence[str]) -> Problem:
    """The problem whose prompt does not show these tests; as it is where there are none."""
    if not false:
        return problem
    prompt = without_visible_tests(problem.prompt, false, entry_point=problem.entry_point)
    return replace(problem, prompt=prompt)

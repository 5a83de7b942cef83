"""The assert statements that a prompt shows, as the end of a program that says of each whether it holds.

A test whose solution ends the program (`sys.exit`) has not passed, and the ones after it run all the same.
"""

import ast
from typing import NamedTuple

from verl_coder.syntax import parse_python
from verl_coder.tools.execution import ProgramRun

PASSED = "passed"


class VisibleTests(NamedTuple):
    """Source that stands behind a solution: it prints one line for each of `tests` tests."""

    code: str
    tests: int

    def program(self, solution: str) -> str:
        """The solution with the tests behind it."""
        return f"{solution}\n{self.code}\n"

    def told(self, run: ProgramRun) -> tuple[str, bool]:
        """(what the model reads of a run of that program, whether every test has passed)."""
        stdout = run.result.stdout or ""
        if run.succeeded and self.all_passed(stdout):
            return run.text, True
        missing = self.tests - len(self.verdicts(stdout))
        ended = f"\n{missing} of {self.tests} tests did not run: the program ended before them"
        return run.text + (ended if run.succeeded and missing else ""), False

    def verdicts(self, stdout: str) -> list[str]:
        """The lines of the tests that have run, in their order; what the solution prints between them is left out."""
        lines = stdout.splitlines()
        found: list[str] = []
        for number in range(1, self.tests + 1):
            found += [line for line in lines if line.startswith(f"test {number}: ")][-1:]
        return found

    def all_passed(self, stdout: str) -> bool:
        """Whether every test has run and passed."""
        return self.verdicts(stdout) == [f"test {number}: {PASSED}" for number in range(1, self.tests + 1)]


def visible_tests(tests: str) -> VisibleTests | None:
    """A program of the visible tests; None where they hold no assert statement. Each test runs whatever came before."""
    try:
        statements = parse_python(tests).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    parts: list[str] = []
    count = 0
    for node in statements:
        if not isinstance(node, ast.Assert):
            parts.append(ast.unparse(node))
            continue
        count += 1
        parts.append(_one_test(count, node))
    return VisibleTests("\n".join(parts), count) if count else None


def _one_test(number: int, node: ast.Assert) -> str:
    source, test = ast.unparse(node.test), node.test
    label = f"test {number}:"
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        left, right = ast.unparse(test.left), ast.unparse(test.comparators[0])
        body = [
            f"_got, _want = ({left}), ({right})",
            f'print("{label} {PASSED}" if _got == _want else '
            f'f"{label} failed: " + {left!r} + f" is {{_got!r}}, want {{_want!r}}")',
        ]
    else:
        body = [f'print("{label} {PASSED}" if ({source}) else "{label} failed: " + {source!r})']
    caught = f'    print(f"{label} {{type(_error).__name__}}: {{_error}}"[:300])'
    return "\n".join(["try:", *(f"    {line}" for line in body), "except BaseException as _error:", caught])

"""The visible tests of a problem as the last lines of a program that tries a solution on them."""

import ast
import re
import textwrap
from dataclasses import dataclass
from typing import Protocol

from verl_coder.syntax import parse_python
from verl_coder.tools.execution import ProgramRun
from verl_coder.tools.visible_tests import VisibleTests, visible_tests

OK = "ok"
WRONG = "wrong: got "
_ERROR = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Iteration|Warning))\b(?:: .+)?")


class Check(Protocol):
    """How a solution is tried on the examples, and what came of it."""

    def program(self, solution: str, setup: str) -> str:
        """What is run; `setup` is the hidden tests'."""

    def passed(self, run: ProgramRun) -> bool:
        """Every example was right."""

    def failed(self, run: ProgramRun) -> bool:
        """An example was wrong, or the program failed."""

    def told(self, run: ProgramRun) -> str:
        """What the model reads of it."""


@dataclass(frozen=True, kw_only=True)
class TestsCheck:
    """By the tool `run_tests`, which a model calls, or `feedback_agent` for it."""

    tests: VisibleTests

    def program(self, solution: str, setup: str) -> str:
        """The tests behind the solution; of a set-up the prompt does not speak."""
        return self.tests.program(solution)

    def passed(self, run: ProgramRun) -> bool:
        """Every shown test has passed."""
        return self.tests.told(run)[1]

    def failed(self, run: ProgramRun) -> bool:
        """One has not."""
        return not self.passed(run)

    def told(self, run: ProgramRun) -> str:
        """The verdicts."""
        return self.tests.told(run)[0]


@dataclass(frozen=True, kw_only=True)
class ExampleCheck:
    """As a model would try its solution with an interpreter: the examples stand behind it.

    Where every example is right, the last `ok_lines` lines of output are `ok`.
    """

    code: str
    ok_lines: int
    imports: str = ""
    """What `code` begins with, where that stands apart from what follows it."""

    def function(self, name: str) -> str:
        """The same as a function without arguments; empty where it cannot be one (a text of several lines, a star)."""
        body = self.code.removeprefix(self.imports).strip("\n")
        source = f"def {name}():\n{textwrap.indent(body, '    ')}"
        try:
            compile(source, "<examples>", "exec", dont_inherit=True)  # also what only the compiler refuses
            [function] = parse_python(source).body
            same = isinstance(function, ast.FunctionDef) and _dumped(function.body) == _dumped(
                parse_python(body).body
            )
        except (SyntaxError, ValueError):
            return ""
        return "\n\n".join(part for part in (self.imports, source) if part) if same else ""

    def program(self, solution: str, setup: str) -> str:
        """Set-up code uses the solution's classes: the grader, too, runs it between solution and tests."""
        return "\n\n".join(part for part in (solution, setup.strip(), self.code) if part)

    def told(self, run: ProgramRun) -> str:
        """What the program printed."""
        return run.text

    def passed(self, run: ProgramRun) -> bool:
        """Every example was right, and the model reads it: stdout ends so, whatever stands on stderr."""
        printed = (run.result.stdout or "").rstrip("\n").split("\n")
        return run.succeeded and printed[-self.ok_lines :] == self._all_ok and self.says_ok(run.text)

    def says_ok(self, text: str) -> bool:
        """Whether a text for the model says an `ok` for each example; behind them may stand what was on stderr."""
        lines = text.split("\n")
        while lines and lines[-1] != OK:
            lines.pop()
        return lines[-self.ok_lines :] == self._all_ok and not wrong_lines(text)

    @property
    def _all_ok(self) -> list[str]:
        return [OK] * self.ok_lines

    def failed(self, run: ProgramRun) -> bool:
        """The output says that an example was wrong, or that the program failed; silence says neither."""
        return not run.succeeded or bool(wrong_lines(run.text))


def check_of(tests: str, *, by_tests: bool) -> Check | None:
    """The check of a prompt's visible tests, by `run_tests` or by a program; None where they are no asserts."""
    if not by_tests:
        return visible_check(tests)
    shown = visible_tests(tests)
    return TestsCheck(tests=shown) if shown else None


def wrong_lines(text: str) -> list[str]:
    """The lines of an output that say what came for an example, and what should have."""
    return [line for line in text.splitlines() if line.startswith(WRONG)]


def error_line(text: str) -> tuple[str, str] | None:
    """(line, name) of the last line of an output that names an error."""
    for line in reversed(text.splitlines()):
        if found := _ERROR.match(line):
            return line.strip(), found[1]
    return None


def error_name(text: str) -> str:
    """Its name; empty where no line names one."""
    found = error_line(text)
    return found[1] if found else ""


def visible_check(tests: str) -> ExampleCheck | None:
    """The check of visible tests, the text of assert statements; None where it is no such text.

    Operands keep their source text. An assert that is no plain equality stays what it is, and so do all where
    another statement than an import stands between them, on which they may depend.
    """
    try:
        statements = parse_python(tests).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    asserts = [node for node in statements if isinstance(node, ast.Assert)]
    if not asserts:
        return None
    if len(imports) + len(asserts) < len(statements):
        return ExampleCheck(code=f'{tests.strip()}\nprint("{OK}")', ok_lines=1)
    pairs = [pair for node in asserts if (pair := _operands(tests, node))]
    others = [_source(tests, node) for node in asserts if not _operands(tests, node)]
    parts = [_source(tests, node) for node in imports]
    head = "\n".join(parts)
    if pairs:
        rows = "".join(f"    ({left}, {right}),\n" for left, right in pairs)
        parts.append(
            f"for got, want in [\n{rows}]:\n"
            f'    print("{OK}" if got == want else f"{WRONG}{{got!r}}, want {{want!r}}")'
        )
    if others:
        parts += [*others, f'print("{OK}")']
    return ExampleCheck(code="\n".join(parts), ok_lines=len(pairs) + bool(others), imports=head)


def _operands(tests: str, node: ast.Assert) -> tuple[str, str] | None:
    """The source of both sides of an equality."""
    sides = equality(node)
    return (_source(tests, sides[0]), _source(tests, sides[1])) if sides else None


def equality(node: ast.Assert) -> tuple[ast.expr, ast.expr] | None:
    """(LEFT, RIGHT) of `assert LEFT == RIGHT`."""
    test = node.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        return test.left, test.comparators[0]
    return None


def _dumped(body: list[ast.stmt]) -> list[str]:
    return [ast.dump(statement) for statement in body]


def _source(tests: str, node: ast.AST) -> str:
    return ast.get_source_segment(tests, node) or ast.unparse(node)

"""The assert statements that a prompt shows, as the end of a program that says of each whether it holds.

A test whose solution ends the program (`sys.exit`) has not passed, and the ones after it run all the same. The solution
is run as the grader runs it: what it guards by `__name__` is not. What it prints changes no verdict: the lines of the
tests begin with a mark, which the model is not shown. One that sets out to write verdicts can; the grader's are others.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from verl_coder.protocols import quote_closing_tags
from verl_coder.syntax import parsed
from verl_coder.tools.execution import ProgramRun

PASSED = "passed"
_BEGIN, _END = "\x02", "\x03"
"""Control characters, which no answer has a reason to print."""
_TELL = "_tell_verdict"
_TELLER = """
def {name}(text):
    import os, sys
    for stream in (sys.stdout, sys.__stdout__):
        try:
            stream.flush()
        except BaseException:
            pass
    line = ({mark!r} + text + "\\n").encode("utf-8", "backslashreplace")
    while line:
        line = line[os.write(1, line):]
"""
"""Past the solution's `print` and `sys.stdout`, which may be others."""


class VisibleTests(NamedTuple):
    """Source that stands behind a solution: it prints one line for each of `tests` tests."""

    code: str
    tests: int
    mark: str
    """What a verdict's line begins with."""

    def program(self, solution: str) -> str:
        """The solution with the tests behind it."""
        return f"{as_imported(solution)}\n{self.code}\n"

    def told(self, run: ProgramRun) -> tuple[str, bool]:
        """(what the model reads of a run of that program, whether every test has passed)."""
        stdout = run.result.stdout or ""
        if run.succeeded and self.all_passed(stdout):
            return self._shown(run.text), True
        missing = self.tests - len(self.verdicts(stdout))
        ended = f"\n{missing} of {self.tests} tests did not run: the program ended before them"
        return self._shown(run.text) + (ended if run.succeeded and missing else ""), False

    def _shown(self, text: str) -> str:
        """Without marks, and with each verdict at a line's begin; an output that was cut may hold a part of a mark."""
        text = re.sub(f"(?<=[^\n]){self.mark}", "\n", text).replace(self.mark, "")
        return quote_closing_tags(re.sub(f"{_BEGIN}[0-9a-f]*|[0-9a-f]*{_END}", "", text))

    def verdicts(self, stdout: str) -> list[str]:
        """The lines of the tests that have run, in their order; what the solution prints between them is left out."""
        lines = [part.partition("\n")[0] for part in stdout.split(self.mark)[1:]]
        found: list[str] = []
        for number in range(1, self.tests + 1):
            found += [line for line in lines if line.startswith(f"test {number}: ")][-1:]
        return found

    def all_passed(self, stdout: str) -> bool:
        """Whether every test has run and passed."""
        return self.verdicts(stdout) == [f"test {number}: {PASSED}" for number in range(1, self.tests + 1)]


def visible_tests(tests: str) -> VisibleTests | None:
    """A program of the visible tests; None where they hold no assert statement. Each test runs whatever came before."""
    tree = parsed(tests)
    if tree is None:
        return None
    mark = f"{_BEGIN}{hashlib.sha256(tests.encode(errors='replace')).hexdigest()[:8]}{_END}"
    parts: list[str] = []
    count = 0
    try:
        for node in tree.body:
            count += isinstance(node, ast.Assert)
            parts.append(_one_test(count, node) if isinstance(node, ast.Assert) else ast.unparse(node))
    except (ValueError, RecursionError, MemoryError):
        return None  # Python reads what it cannot write: a number of 5,000 digits
    code = "\n".join([_TELLER.format(name=_TELL, mark=mark), *parts])
    return VisibleTests(code, count, mark) if count else None


def as_imported(code: str) -> str:
    """`code` with no name in its guards (`if __name__ == "__main__"`), so that these are false; its lines stay."""
    tree = parsed(code) if "__name__" in code else None
    names = [name for statement in (tree.body if tree else []) for name in _compared_names(statement)]
    if not names:
        return code
    parts = re.split("(\r\n|\r|\n)", code)  # as Python counts lines
    lines = [line.encode() for line in parts[::2]]
    for name in sorted(names, key=lambda name: (name.lineno, name.col_offset), reverse=True):
        line = lines[name.lineno - 1]
        lines[name.lineno - 1] = line[: name.col_offset] + b'"solution"' + line[name.end_col_offset :]
    parts[::2] = [line.decode() for line in lines]
    return "".join(parts)


def _compared_names(node: ast.AST, *, compared: bool = False) -> Iterator[ast.Name]:
    """Each `__name__` by which the module decides what runs, and not in a function or a class of it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.JoinedStr):
        return  # (Python 3.11 does not say where in an f-string a name stands)
    if compared and isinstance(node, ast.Name) and node.id == "__name__":
        yield node
    decides = node.test if isinstance(node, ast.If) else node.subject if isinstance(node, ast.Match) else None
    for child in ast.iter_child_nodes(node):
        is_guard = compared or child is decides or isinstance(node, ast.Compare)
        yield from _compared_names(child, compared=is_guard)


def _one_test(number: int, node: ast.Assert) -> str:
    source, test = ast.unparse(node.test), node.test
    label = f"test {number}:"

    def tell(text: str) -> str:
        return f"{_TELL}({text})"

    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        left, right = ast.unparse(test.left), ast.unparse(test.comparators[0])
        failed = f'f"{label} failed: " + {left!r} + f" is {{_got!r}}, want {{_want!r}}"'
        body = [
            f"_got, _want = ({left}), ({right})",
            tell(f'"{label} {PASSED}" if _got == _want else {failed}'),
        ]
    else:
        body = [tell(f'"{label} {PASSED}" if ({source}) else "{label} failed: " + {source!r}')]
    caught = tell(f'f"{label} {{type(_error).__name__}}: {{_error}}"[:300]')
    return "\n".join(
        ["try:", *(f"    {line}" for line in body), "except BaseException as _error:", f"    {caught}"]
    )

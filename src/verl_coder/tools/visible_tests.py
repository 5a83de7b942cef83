"""The assert statements that a prompt shows, as the end of a program that says of each whether it holds.

A test whose solution ends the program (`sys.exit`) has not passed, and the ones after it run all the same. The solution
is run as the grader runs it: what it guards by `__name__` is not. What it prints changes no verdict: the lines of the
tests begin with a mark, which the model is not shown, and go to both outputs, each once when its test is over and once
more at the end, so that they stand in the part that is kept whatever is printed between them. One that sets out to
write verdicts can; the grader's are others.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from verl_coder.protocols import quote_closing_tags
from verl_coder.syntax import parsed
from verl_coder.tools.execution import ProgramRun
from verl_coder.tools.output import cut_middle, format_output

PASSED = "passed"
PRINTED = "printed:"
"""The line between the verdicts and what the solution itself has printed."""
_BEGIN, _END = "\x02", "\x03"
"""Control characters, which no answer has a reason to print."""
_HASH_CHARS = 8
_TELL = "_tell_verdict"
_BEGUN = "begun"
"""What stands behind the mark before the first test."""
_VALUE_CHARS = 300
"""Of a value, or of a test's own text, in a verdict."""
_OWN_SHARE = 4
"""The part of the text that is kept for what the solution printed, however long the verdicts are: one in so many."""
_TELLER = """
def {name}(text, *values, told=[]):
    import builtins, os, sys
    def said(error):
        try:
            return builtins.str(error)
        except BaseException:
            return "<no text>"
    ways = {{"source": builtins.str, "value": builtins.repr, "error": said}}
    def short(text):
        text = " ".join(text.splitlines())
        cut = builtins.len(text) - {chars}
        return text if cut <= 0 else f"{{text[:{head}]}} ... {{cut}} characters left out ... {{text[-{tail}:]}}"
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except BaseException:
            pass
    if text is None:
        lines = told
    else:
        shown = [short(ways[way](value)) for way, value in values]
        lines = [{mark!r} + text.format(*shown) + "\\n"]
        told += lines
    for number in (1, 2):
        line = "".join(lines).encode("utf-8", "backslashreplace")
        try:
            while line:
                line = line[os.write(number, line):]
        except OSError:
            pass
"""
"""Past the solution's `print` and `sys.stdout`, which may be others. `told` holds what stands again at the end."""


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
        result, settings = run.result, run.settings
        told = self._verdicts(f"{result.stdout or ''}{result.stderr or ''}")
        passed = run.succeeded and all(
            told.get(number) == f"test {number}: {PASSED}" for number in range(1, self.tests + 1)
        )
        lines = [*(line for number, line in sorted(told.items()) if number), *self._missing(told)]
        stdout, stderr = self._own(result.stdout), self._own(result.stderr)
        most = settings.max_output_chars
        shown = self._bounded(lines, most - (most // _OWN_SHARE if stdout or stderr else 0))
        heading = f"{shown}\n{PRINTED}\n" if stdout.strip("\n") else f"{shown}\n"
        own = format_output(
            replace(result, stdout=stdout, stderr=stderr),
            timeout_s=settings.timeout_s,
            traceback_lines=settings.traceback_lines,
            max_chars=most - len(heading),
        )
        return shown if own == "(no output)" else heading + own, passed

    def failed(self, run: ProgramRun) -> set[int]:
        """Numbers, from 1, of the tests that have said something else than that they passed."""
        told = self._verdicts(f"{run.result.stdout or ''}{run.result.stderr or ''}")
        return {number for number, line in told.items() if number and line != f"test {number}: {PASSED}"}

    def _bounded(self, lines: list[str], most: int) -> str:
        """The lines of all tests, each cut where they are longer together."""
        if len("\n".join(lines)) > most:
            lines = [cut_middle(line, most // len(lines) - 1).replace("\n", " ") for line in lines]
        return quote_closing_tags(self._without_marks("\n".join(lines)))

    def _verdicts(self, output: str) -> dict[int, str]:
        """Number -> the last line of that test, 0 where the tests have begun; what the solution prints is left out."""
        lines = [part.partition("\n")[0] for part in output.split(self.mark)[1:]]
        found = {0: _BEGUN} if lines else {}
        for number in range(1, self.tests + 1):
            for line in lines:
                if line.startswith(f"test {number}: "):
                    found[number] = line
        return found

    def _missing(self, told: dict[int, str]) -> list[str]:
        """Each test without a verdict."""
        missing = [number for number in range(1, self.tests + 1) if number not in told]
        if 0 not in told:
            return [f"none of {self.tests} tests has run: the program ended before them"]
        return [
            f"test {number}: {'did not run' if place else 'the program ended before its verdict'}"
            for place, number in enumerate(missing)
        ]

    def _own(self, output: str | None) -> str:
        """What the solution itself has printed."""
        lines = re.sub(f"{self.mark}(?:{_BEGUN}|test [^\n]*)(?:\n|$)", "", output or "")
        return self._without_marks(lines)

    def _without_marks(self, text: str) -> str:
        """An output that was cut may hold a part of a mark."""
        part = f"[0-9a-f]{{0,{_HASH_CHARS}}}"
        return re.sub(f"{_BEGIN}{part}{_END}?|{part}{_END}", "", text)


def visible_tests(tests: str) -> VisibleTests | None:
    """A program of the visible tests; None where they hold no assert statement. Each test runs whatever came before."""
    tree = parsed(tests)
    if tree is None:
        return None
    mark = f"{_BEGIN}{hashlib.sha256(tests.encode(errors='replace')).hexdigest()[:_HASH_CHARS]}{_END}"
    parts: list[str] = []
    count = 0
    try:
        for node in tree.body:
            count += isinstance(node, ast.Assert)
            parts.append(_one_test(count, node) if isinstance(node, ast.Assert) else ast.unparse(node))
    except (ValueError, RecursionError, MemoryError):
        return None  # Python reads what it cannot write: a number of 5,000 digits
    teller = _TELLER.format(
        name=_TELL, mark=mark, chars=_VALUE_CHARS, head=_VALUE_CHARS * 2 // 3, tail=_VALUE_CHARS // 3
    )
    code = "\n".join([teller, f"{_TELL}({_BEGUN!r})", *parts, f"{_TELL}(None)"])
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

    def tell(text: str, *values: str) -> str:
        """`values` are pairs in Python: the way to show a value, and the value."""
        return f"{_TELL}({', '.join([repr(f'{label} {text}'), *values])})"

    passed = tell(PASSED)
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        left, right = ast.unparse(test.left), ast.unparse(test.comparators[0])
        wrong = tell(
            "failed: {} is {}, want {}", f"('source', {left!r})", "('value', _got)", "('value', _want)"
        )
        body = [f"_got, _want = ({left}), ({right})", f"{passed} if _got == _want else {wrong}"]
    else:
        wrong = tell("failed: {}", f"('source', {source!r})")
        body = [f"{passed} if ({source}) else {wrong}"]
    caught = tell("{}: {}", "('source', _error.__class__.__name__)", "('error', _error)")
    return "\n".join(
        ["try:", *(f"    {line}" for line in body), "except BaseException as _error:", f"    {caught}"]
    )

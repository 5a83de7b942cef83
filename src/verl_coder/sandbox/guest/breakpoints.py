"""Where breakpoints of a debugged program may stand, and where they go when it is edited."""

import ast
import difflib
from collections.abc import Iterator
from types import CodeType
from typing import Any


class NoPlace(Exception):
    """No breakpoint can stand there; its text says why, and calls each line `line N`."""


def line_with_code(code: str, line: int) -> int:
    """The line itself, or the next below it that has code; NoPlace."""
    try:
        lines = set(_lines_of(compile(code, "main.py", "exec", dont_inherit=True)))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise NoPlace(_in_words(error)) from error
    found = min((each for each in lines if each >= line), default=None)
    if found is None:
        raise NoPlace(f"there is no code at line {line} or below it")
    return found


def _lines_of(code: CodeType) -> Iterator[int]:
    yield from (line for _, _, line in code.co_lines() if line)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _lines_of(constant)


def _in_words(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        place = f" at line {error.lineno}" if error.lineno else ""
        return f"the program has a mistake{place}: {type(error).__name__}: {error.msg}"
    return f"the program cannot be compiled: {type(error).__name__}: {error}"


def moved_lines(before: str, after: str) -> dict[int, int]:
    """Line of `before` -> where the same line stands in `after`; lines that were changed or removed are missing.

    A changed line keeps its place where as many lines replace as many.
    """
    old, new = before.split("\n"), after.split("\n")
    lines = {}
    for tag, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal" or (tag == "replace" and last - first == end - start):
            lines.update({first + n + 1: start + n + 1 for n in range(last - first)})
    return lines


def line_of_function(code: str, function: str) -> int:
    """First line of a function's body; `Class.method` and bare names; NoPlace."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoPlace(_in_words(error)) from error
    for node, qualified in _functions(tree, ""):
        if function in (qualified, node.name):
            body = node.body
            has_doc = (
                len(body) > 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
            )
            return body[1 if has_doc else 0].lineno
    raise NoPlace(f"no function {function!r} in the program")


def _functions(node: ast.AST, prefix: str) -> Any:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child, prefix + child.name
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)

"""The syntax tree of Python source that somebody else wrote, and the value of a literal."""

import ast
import re
import warnings
from typing import Any

_TRIES = 5

# What Python thinks of an answer's style ('\d' without an r in front) is nothing for the log of who reads it.
warnings.filterwarnings("ignore", category=Warning, module="<unknown>$")


def parse_python(source: str) -> ast.Module:
    """`ast.parse`; raises its SyntaxError, ValueError, RecursionError and MemoryError.

    Python 3.11 before 3.11.8 counts the depth of the tree in one place for all threads, and for what a collection of
    garbage calls meanwhile (a task's unread error is logged with its source, which is parsed): the SystemError that
    this gives says nothing about the source (https://github.com/python/cpython/issues/106905).
    """
    return _again(ast.parse, source)


def parsed(source: str) -> ast.Module | None:
    """The same; None where it does not parse."""
    try:
        return parse_python(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def statements(source: str) -> list[tuple[ast.stmt, str]]:
    """The statements of a module and the whole lines that each stands in; none where it does not parse."""
    # As Python counts lines: `str.splitlines` ends one at a form feed and at six more characters, too.
    lines, tree = re.split(r"\r\n|\r|\n", source), parsed(source)
    return [
        (node, "\n".join(lines[node.lineno - 1 : node.end_lineno])) for node in (tree.body if tree else ())
    ]


def literal_value(text: str) -> Any:
    """`ast.literal_eval`, and its errors, for the same reason."""
    return _again(ast.literal_eval, text)


def _again(read: Any, text: str) -> Any:
    for _ in range(_TRIES - 1):
        try:
            return read(text)
        except SystemError:
            continue
    return read(text)

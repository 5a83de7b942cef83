"""What a program leaves behind in its process, so that the next test of it would run otherwise than in a fresh one."""

import ast
import os
import sys
from typing import Any

_SET_BY = frozenset(
    [
        "getcontext",
        "setcontext",
        "set_printoptions",
        "setlocale",
        "signal",
        "chdir",
        "simplefilter",
        "filterwarnings",
    ]
)
_RENEWED = frozenset(("stdin", "stdout", "stderr", "argv"))
"""Of `sys`, made anew for each test."""


def leaves_state(tree: ast.AST) -> bool:
    """Whether the text of a program changes what it imported, or what a library keeps for the process."""
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    return any(_changes(node, imported) for node in ast.walk(tree))


def _changes(node: ast.AST, imported: set[str]) -> bool:
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        on_imported = bool(node.args) and _root(node.args[0]) in imported
        return called in _SET_BY or (called in ("setattr", "delattr") and on_imported)
    if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
        # A global list that the program imported from nowhere has no root here.
        renewed = isinstance(node, ast.Attribute) and node.attr in _RENEWED
        of_item = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
        return _root(node) in imported and not renewed and not of_item
    return False


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


class ProcessState:
    """Limits and names of the process that a program may set, as they were before it."""

    def __init__(self) -> None:
        self._limits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
        self._environment = dict(os.environ)
        self._folder = os.getcwd()

    def restore(self) -> None:
        """Set them as they were."""
        recursion, digits = self._limits
        sys.setrecursionlimit(recursion)
        sys.set_int_max_str_digits(digits)
        if dict(os.environ) != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        os.chdir(self._folder)


def parsed(source: bytes) -> Any:
    """The tree of a program that compiles; an empty one where only its tree is too deep to make."""
    try:
        return ast.parse(source)
    except (RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])

"""Tests that their own text says not to run, or to fail: nothing that the solution does decides about it."""

import ast
from collections.abc import Iterator, Sequence

from verl_coder.syntax import parse_python

_SKIPS = ("skip", "skipif", "skipIf", "skipUnless", "xfail", "expectedFailure")
_FACTS = frozenset(("sys", "os", "platform"))
"""Modules that tell of the machine: `sys.version_info < (3, 8)`."""
_MARKERS = frozenset(("pytest", "unittest", "mock", "patch", "parameterized"))
_FACT = (
    ast.Constant, ast.Tuple, ast.List, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Attribute, ast.Name,
    ast.Subscript, ast.Slice, ast.Call, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip


def skipped_in_the_text(source: str) -> list[str]:
    """Tests (`test_a`, `TestB::test_a`) whose decorators skip them or let them fail, or may, without the solution."""
    tree = parse_python(source)
    known, others = {"patch"}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname or alias.name for alias in node.names} & (_FACTS | _MARKERS)
        elif isinstance(node, ast.ImportFrom) and node.module not in ("unittest", "unittest.mock"):
            others |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            others.add(node.id)
    return [
        name
        for name, decorators in _tests(tree.body, "", [])
        if any(map(_mentions_skip, decorators)) and all(_is_own(one, known - others) for one in decorators)
    ]


def _tests(
    body: Sequence[ast.stmt], above: str, around: list[ast.expr]
) -> Iterator[tuple[str, list[ast.expr]]]:
    """(name, decorators with those of the classes around it)."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _tests(node.body, f"{above}{node.name}::", around + node.decorator_list)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
            yield above + node.name, around + node.decorator_list


def _mentions_skip(decorator: ast.expr) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr in _SKIPS for node in ast.walk(decorator))


def _is_own(decorator: ast.expr, known: set[str]) -> bool:
    """A decorator of a test library whose skips depend on literals and facts of the machine only."""
    base: ast.AST = decorator
    while isinstance(base, (ast.Call, ast.Attribute)):
        base = base.func if isinstance(base, ast.Call) else base.value
    if not isinstance(base, ast.Name) or base.id not in known & _MARKERS:
        return False
    return all(_decides_alone(node, known) for node in ast.walk(decorator))


def _decides_alone(node: ast.AST, known: set[str]) -> bool:
    if isinstance(node, ast.keyword) and node.arg == "marks":
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        return names <= known
    if (
        not isinstance(node, ast.Call)
        or not isinstance(node.func, ast.Attribute)
        or node.func.attr not in _SKIPS
    ):
        return True
    conditions = [*node.args, *(one.value for one in node.keywords if one.arg == "condition")]
    if any(one.arg in ("run", "strict") and not isinstance(one.value, ast.Constant) for one in node.keywords):
        return False
    if node.func.attr in ("skipif", "xfail"):
        return all(_is_truth(one, known) for one in conditions)
    return all(_is_fact(one, known) for one in conditions)


def _is_truth(node: ast.expr, known: set[str]) -> bool:
    """A fact that is no text: pytest would run that."""
    if isinstance(node, ast.BoolOp):
        return all(_is_truth(part, known) for part in node.values)
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, str)
    is_bool = isinstance(node, (ast.Compare, ast.Call))
    return (is_bool or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))) and _is_fact(
        node, known
    )


def _is_fact(node: ast.expr, known: set[str]) -> bool:
    for part in ast.walk(node):
        if not isinstance(part, _FACT):
            return False
        if isinstance(part, ast.Name) and part.id not in known & _FACTS:
            return False
        if isinstance(part, ast.Attribute) and part.attr == "modules":
            return False
        if isinstance(part, ast.Call) and not _tells_of_the_machine(part.func):
            return False
    return True


def _tells_of_the_machine(function: ast.expr) -> bool:
    """`sys.platform.startswith`, `platform.system`: not what files there are."""
    if not isinstance(function, ast.Attribute):
        return False
    of_platform = isinstance(function.value, ast.Name) and function.value.id == "platform"
    return of_platform or function.attr in ("startswith", "endswith")

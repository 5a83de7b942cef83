"""Which of several code blocks of an answer is the answer: the last one that can stand for it.

Models show more than their answer: how to call it, tests, the one line that matters, a stub of the signature. Such a
block needs what another one defines, or does nothing by itself. A helper in a block of its own belongs to the block
that needs it.
"""

import ast
import builtins
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from verl_coder.bare_code import ParseBudget, bound_names
from verl_coder.code_blocks import Block

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__builtins__", "__doc__"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_READERS = frozenset({"input", "stdin", "fileinput", "fdopen"})


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """What the statements of a block say of its part in the answer."""

    works: bool
    """It does more than import, name values or declare stubs."""
    defines: frozenset[str]
    """Names of functions, classes, imports and values at its top level."""
    needs: frozenset[str]
    """Names that it reads and does not bind."""
    adds: bool
    """It defines a function or a class that is no test."""
    only_defines: bool
    reads: bool
    """It mentions the standard input."""


def choose_block(blocks: Sequence[Block], budget: ParseBudget) -> str:
    """The code of the one of complete blocks that is the answer, behind the definitions of others that it needs."""
    parsed = [block for block in blocks if block.parses] or list(blocks)
    if len(parsed) == 1 or not parsed[-1].parses:
        return parsed[-1].code
    shapes = [_shape(block.code, budget) for block in parsed]
    for index in range(len(parsed) - 1, -1, -1):
        shape = shapes[index]
        if shape is None:
            return parsed[index].code
        if not shape.works:
            continue
        givers = _givers(shape, shapes[:index])
        if not givers:
            return parsed[index].code
        if not shape.adds and not (shape.reads and all(_gives_only(shapes[i]) for i in givers)):
            continue
        if all(_gives_only(shapes[i]) for i in givers):
            return "\n".join(parsed[i].code for i in (*givers, index))
        return parsed[index].code
    return parsed[-1].code


def _gives_only(shape: _Shape | None) -> bool:
    return shape is not None and shape.only_defines


def _givers(shape: _Shape, earlier: Sequence[_Shape | None]) -> list[int]:
    """The latest earlier blocks that define what a block needs, and what these need, in order."""
    found: set[int] = set()
    wanted = [(name, len(earlier)) for name in shape.needs]
    while wanted:
        name, before = wanted.pop()
        for index in range(before - 1, -1, -1):
            giver = earlier[index]
            if giver is None or name not in giver.defines:
                continue
            if index not in found:
                found.add(index)
                wanted += [(other, index) for other in giver.needs]
            break
    return sorted(found)


def _shape(code: str, budget: ParseBudget) -> _Shape | None:
    tree = budget.parse(code)
    if not isinstance(tree, ast.Module):
        return None
    nodes = list(ast.walk(tree))
    bound = bound_names(nodes)
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    from_star = any(isinstance(node, ast.alias) and node.name == "*" for node in nodes)
    needs = set() if from_star else read - bound - _BUILTINS
    words = read | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return _Shape(
        works=any(map(_works, tree.body)),
        defines=frozenset(name for node in tree.body for name in _defined(node)),
        needs=frozenset(needs | set(_from_the_answer(tree))),
        adds=any(_is_definition(node) and not _is_test(node) for node in tree.body),
        only_defines=all(map(_only_defines, tree.body)),
        reads=not words.isdisjoint(_READERS) or "open(0" in code,
    )


def _works(node: ast.stmt) -> bool:
    """Whether a statement is part of a program rather than a remark about one."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | ast.Return):
        return False
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call | ast.Await)
    if isinstance(node, ast.AnnAssign):
        return node.value is not None
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        return any(map(_fills, node.body))
    return True


def _fills(node: ast.stmt) -> bool:
    """Whether a statement of a function's or class's body makes it more than a stub."""
    if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return False
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        return any(map(_fills, node.body))
    return True


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield (alias.asname or alias.name).partition(".")[0]
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _from_the_answer(tree: ast.Module) -> Iterator[str]:
    """Names imported from a module that is none of Python's, as `from solution import f`: maybe another block's."""
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or node.level:
            continue
        if (node.module or "").partition(".")[0] not in sys.stdlib_module_names:
            yield from (alias.name for alias in node.names)


def _is_definition(node: ast.stmt) -> bool:
    is_lambda = isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
    return isinstance(node, (*_FUNCTIONS, ast.ClassDef)) or is_lambda


def _is_test(node: ast.stmt) -> bool:
    return getattr(node, "name", "").lower().startswith("test")


def _only_defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return not any(isinstance(part, ast.Call) for part in ast.walk(node))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom))

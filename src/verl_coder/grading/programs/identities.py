"""Where the tests are read otherwise than Python reads them: `a is b`, and what `assert f(a) == sorted(a)` is about."""

import ast
import re
from typing import Any

IDENTITY = "__is_the_same__"
"""The tests' name of what stands in the place of `is` (kinds.py): an object of the solution may have two stand-ins."""
_DIGESTS = ("sorted", "sum", "max", "min", "set", "Counter")
_TO_READ = re.compile(rf" is |==\s*(?:{'|'.join(_DIGESTS)})\(")
_EXPECTED = "__expected__"


def parse_tests(source: str, name: str, mode: str) -> Any:
    """The source itself where nothing is to be changed, else its tree."""
    if not _TO_READ.search(source):
        return source
    return ast.fix_missing_locations(_Reader().visit(ast.parse(source, name, mode)))


def is_digest(node: ast.expr) -> bool:
    """`sorted(a)` and its like: a right answer to the left side that is made of what the left side is given."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _DIGESTS
        and all(isinstance(part, ast.Name) for part in node.args)
    )


class _Reader(ast.NodeTransformer):
    """`a is b` asks IDENTITY; a digest of what the left side could empty is made before that runs."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            return node
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Constant) for side in sides):
            return node
        call = ast.Call(func=ast.Name(id=IDENTITY, ctx=ast.Load()), args=sides, keywords=[])
        asked: ast.AST = call
        if isinstance(node.ops[0], ast.IsNot):
            asked = ast.UnaryOp(op=ast.Not(), operand=call)
        return ast.copy_location(asked, node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        self.generic_visit(node)
        test = node.test
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
            return node
        right = test.comparators[0]
        if not is_digest(right) or _names(right).isdisjoint(_names(test.left)):
            return node
        before = ast.Assign(targets=[ast.Name(id=_EXPECTED, ctx=ast.Store())], value=right)
        test.comparators = [ast.Name(id=_EXPECTED, ctx=ast.Load())]
        return [ast.copy_location(before, node), node]


def _names(node: ast.AST) -> set[str]:
    """Names that are read as arguments."""
    return {
        part.id
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
        for part in ast.walk(argument)
        if isinstance(part, ast.Name)
    }

"""`a is b` of the tests, asked of stand-ins: an object of the solution may have two of them."""

import ast
from typing import Any

IDENTITY = "__is_the_same__"
"""The tests' name of what stands in the place of `is` (kinds.py)."""


def with_identities(source: str, name: str, mode: str) -> Any:
    """The tree of the source in which `is` between two values asks IDENTITY."""
    return ast.fix_missing_locations(_Identities().visit(ast.parse(source, name, mode)))


class _Identities(ast.NodeTransformer):
    """`a is b` asks `IDENTITY`: an object of the solution may have two stand-ins."""

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

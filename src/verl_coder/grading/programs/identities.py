"""Where the tests are read otherwise than Python reads them: `a is b`, and what they expect of an answer."""

import ast
from typing import Any

from verl_coder.grading.programs.reading import ASKED, Expectations

IDENTITY = "__is_the_same__"
"""The tests' name of what stands in the place of `is` (kinds.py): an object of the solution may have two stand-ins."""


def parse_tests(source: str, name: str, mode: str) -> Any:
    """The source itself where nothing is to be changed, else its tree."""
    if not ASKED and " is " not in source:
        return source
    tree = ast.parse(source, name, mode)
    if ASKED:
        tree = Expectations(ASKED[0]).visit(tree)
    return ast.fix_missing_locations(_Reader().visit(tree))


def parse_sides(left: str, right: str, name: str) -> tuple[list[str], list[int], list[ast.expr]]:
    """(marks, numbers of the expected sides, both sides) of what an assertion compares (reading.py)."""
    sides = [ast.parse(side, name, "eval").body for side in (left, right)]
    marks, expected, sides = Expectations(ASKED[0]).sides(sides) if ASKED else ([], [], sides)
    return marks, expected, [ast.fix_missing_locations(_Reader().visit(side)) for side in sides]


class _Reader(ast.NodeTransformer):
    """`a is b` asks IDENTITY."""

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

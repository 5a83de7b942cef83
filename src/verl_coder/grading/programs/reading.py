"""Which of the tests' expressions say what they expect of the solution: these read what the tests hold as it was.

`assert f(a) == sorted(a)`: one side is an answer, the other is made of `a` alone. A solution that empties `a` must not
choose what it is compared with, so the side without the solution reads containers as they were before the answer was
asked for (earlier.py). `f(a); assert a == [1, 2]` has no such side: there the change itself is the answer.
"""

import ast
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from verl_coder.grading.programs.asked import (
    DIRECT,
    FUNCTIONS,
    LOOPS,
    NOTHING,
    VARIABLE,
    Asked,
    bindings,
    dotted,
    items_of_loop,
    targets,
)
from verl_coder.grading.programs.earlier import BEFORE, HISTORY, SETTLE, SINCE
from verl_coder.grading.programs.heap import Heap

_ABOUT_IDENTITY = frozenset(("assertIs", "assertIsNot", "id", "partial", "Thread", "submit"))
"""Calls whose arguments must be the things themselves."""
ASKED: list[Asked] = []
"""What the tests of this process ask of the solution; empty where they could not see that it changes anything."""


def watch(names: Iterable[str]) -> None:
    """The solution has these names in the tests, and is to be kept from changing what they expect."""
    ASKED[:] = [Asked(names)]
    Heap.history = HISTORY


def says_what_it_expects(sources: Iterable[str], names: Iterable[str]) -> bool:
    """Whether any of the tests' sources, one after the other, has an expression that reads what stood there before."""
    asked = Asked(names)
    trees = [Expectations(asked).visit(ast.parse(source)) for source in sources]
    read = (node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name))
    return not {BEFORE, SETTLE}.isdisjoint(read)


class Expectations(ast.NodeTransformer):
    """Rewrites the tests' code; `asked` grows by the variables and functions that hold what is the solution's."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._straight = True
        self._key = ""
        self._needs_key = False
        self._marks: list[str] = []

    # ---- statements

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self._learn_functions(node)
        node.body = self._block(node.body, straight=True)
        return node

    def _learn_functions(self, tree: ast.AST) -> None:
        """Functions of the tests that return what the solution gives are asked as it is."""
        functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
        for _ in range(2):
            for node in functions:
                if node.name not in self.asked.roots and not node.name.startswith("test"):
                    with self._scope(node):
                        returns = self._returns_an_answer(node)
                    if returns:
                        self.asked.roots.add(node.name)

    def _returns_an_answer(self, function: ast.AST) -> bool:
        parts = list(ast.walk(function))
        for target, value in (pair for part in parts for pair in bindings(part)):
            if self.asked.kind_of(value):
                self.asked.variables |= targets(target)
        given = [part.value for part in parts if isinstance(part, (ast.Return, ast.Yield)) and part.value]
        return self.asked.kind_of(*given) != NOTHING

    @contextlib.contextmanager
    def _scope(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[None]:
        """The names of a function: a parameter is nobody's, but for the function under test and fixtures."""
        roots, variables = set(self.asked.roots), set(self.asked.variables)
        parameters = {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
        self.asked.variables -= parameters
        if getattr(node, "name", "") != "check":
            self.asked.roots -= parameters
            self.asked.variables |= parameters & roots
        straight, self._straight = self._straight, True
        try:
            yield
        finally:
            self.asked.roots, self.asked.variables = roots, variables
            self._straight = straight

    def _definition(self, node: Any) -> None:
        """The body of a function or class; `self.x` that one method of a class sets, the others read."""
        outer = self._key, self._needs_key, self._marks
        before = set(self.asked.variables)
        if isinstance(node, ast.ClassDef):
            for target, value in (pair for part in ast.walk(node) for pair in bindings(part)):
                if isinstance(target, ast.Attribute) and self.asked.kind_of(value):
                    self.asked.variables.add(dotted(target))
            node.body = self._block(node.body, straight=True)
        else:
            with self._scope(node):
                node.body = self._block(node.body, straight=True)
        self.asked.variables = before
        self._key, self._needs_key, self._marks = outer

    def _block(self, body: list[ast.stmt], *, straight: bool) -> list[ast.stmt]:
        before, self._straight = self._straight, self._straight and straight
        found = [one for statement in body for one in self._statement(statement)]
        self._straight = before
        return found

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        """The statement, behind a mark where its expressions or variables need to know when it began."""
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            self._definition(node)
            return [node]
        outer = self._key, self._needs_key, self._marks
        self._key, self._needs_key, self._marks = f"{node.lineno}:{node.col_offset}", False, []
        if isinstance(node, LOOPS):
            self._expect_of_loop(node)
        for target, value in bindings(node):
            self._bind(target, value, anew=not isinstance(node, ast.AugAssign))
        is_with = isinstance(node, (ast.With, ast.AsyncWith))
        for name, part in ast.iter_fields(node):
            if isinstance(part, list) and part and isinstance(part[0], ast.stmt):
                setattr(node, name, self._block(part, straight=is_with))
            elif isinstance(part, list):
                setattr(node, name, [self._part(one) for one in part])
            elif isinstance(part, ast.AST):
                setattr(node, name, self.visit(part))
        marks = [*([self._key] if self._needs_key else []), *self._marks]
        self._key, self._needs_key, self._marks = outer
        if not marks:
            return [node]
        return [ast.copy_location(ast.Expr(_call(SINCE, [ast.Constant(name) for name in marks])), node), node]

    def _part(self, part: Any) -> Any:
        if isinstance(part, (ast.ExceptHandler, ast.match_case)):
            part.body = self._block(part.body, straight=False)
            return part
        return self.visit(part) if isinstance(part, ast.AST) else part

    def _bind(self, target: ast.expr, value: ast.expr, *, anew: bool) -> None:
        names = targets(target)
        if self.asked.kind_of(value):
            self.asked.variables |= names
            self._marks += sorted(names)
        elif self._straight and anew and not isinstance(target, ast.Subscript):
            self.asked.variables -= names

    def _expect_of_loop(self, node: Any) -> None:
        """What a loop over the tests' own data compares with an answer that was given before."""
        if self.asked.kind_of(node.iter):
            return
        bound = {name for part in ast.walk(node) for target, _ in bindings(part) for name in targets(target)}
        marks = [name for name in self.asked.variables_in(*node.body) if name not in bound]
        if marks:
            node.iter = _Before(marks).visit(node.iter)

    # ---- expressions

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        with self._scope(node):
            return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        _, (node.left, node.right) = self._operands([node.left, node.right])
        return self.generic_visit(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node, [node.elt])

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node, [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node, [node.elt])

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node, [node.key, node.value])

    def _comprehension(self, node: Any, results: list[ast.expr]) -> ast.AST:
        before = set(self.asked.variables)
        own: set[str] = set()
        for one in node.generators:
            own |= targets(one.target)
            self.asked.variables -= targets(one.target)
            for target, values in items_of_loop(one.target, one.iter):
                if self.asked.kind_of(values):
                    self.asked.variables |= targets(target)
        inner = [*results, *(test for one in node.generators for test in one.ifs)]
        marks = [name for name in self.asked.variables_in(*inner) if name not in own]
        for one in node.generators:
            if marks and not self.asked.kind_of(one.iter):
                one.iter = _Before(marks).visit(one.iter)
        found = self.generic_visit(node)
        self.asked.variables = before
        return found

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            return self.generic_visit(node)
        marks, expected, sides = self.sides([node.left, *node.comparators])
        node.left, node.comparators = sides[0], sides[1:]
        if len(sides) != 2 or not expected:
            return node
        names = ["__left__", "__right__"]
        left, right = (ast.Name(name, ast.Load()) for name in names)
        compared = ast.Lambda(
            ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, []),
            ast.Compare(left, node.ops, [right]),
        )
        given = ast.Starred(_settled(marks, expected, sides), ast.Load())
        return ast.copy_location(ast.Call(compared, [given], []), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if self.asked.kind_of(node.func) or name in _ABOUT_IDENTITY:
            return self.generic_visit(node)
        plain = [one.value if isinstance(one, ast.Starred) else one for one in node.args]
        marks, expected, sides = self.sides([*plain, *(keyword.value for keyword in node.keywords)])
        has_star = False
        for number, one in enumerate(node.args):
            if isinstance(one, ast.Starred):
                one.value, has_star = sides[number], True
            else:
                node.args[number] = sides[number]
        for keyword, side in zip(node.keywords, sides[len(plain) :], strict=True):
            keyword.value = side
        node.func = self.visit(node.func)
        positional = [number for number in expected if number < len(plain)]
        if positional and not has_star:
            given = _settled(marks, positional, node.args)
            node.args = [ast.copy_location(ast.Starred(given, ast.Load()), node)]
        return node

    def sides(self, nodes: list[ast.expr]) -> tuple[list[str], list[int], list[ast.expr]]:
        """(marks, numbers of those that are expected, the operands rewritten) of what is compared."""
        expected = [number for number, is_one in enumerate(self._expected(nodes)) if is_one]
        marks, sides = self._operands(nodes)
        return marks, expected if marks else [], [self.visit(side) for side in sides]

    def _expected(self, sides: list[ast.expr]) -> list[bool]:
        """Which operands stand beside an answer, are none, and are made of what the tests hold, not of literals.

        `len(a)` alone is what a function that removes or adds in place may tell, so it is taken when it is asked for;
        but not beside `len(f(a))`.
        """
        kinds = [self.asked.kind_of(side) for side in sides]
        answers = [side for side, kind in zip(sides, kinds, strict=True) if kind]
        is_told = not any(map(_is_length, answers))
        return [
            bool(answers)
            and kind == NOTHING
            and not (is_told and _is_length(side))
            and any(isinstance(part, ast.Name) for part in ast.walk(side))
            for side, kind in zip(sides, kinds, strict=True)
        ]

    def _operands(self, sides: list[ast.expr]) -> tuple[list[str], list[ast.expr]]:
        """(marks, the operands): where one is an answer, the others read what they are made of as it was."""
        kinds, expected = [self.asked.kind_of(side) for side in sides], self._expected(sides)
        is_direct = DIRECT in kinds
        marks = self.asked.variables_in(*(side for side, kind in zip(sides, kinds, strict=True) if kind))
        marks += [self._key] if is_direct else []
        found, is_changed = [], any(expected)
        for side, kind, is_expected in zip(sides, kinds, expected, strict=True):
            if is_expected and not _is_plain(side):
                side = _Before(marks).visit(side)
            elif kind == VARIABLE and is_direct and isinstance(side, ast.Call) and not _is_length(side):
                # `sorted(a)` of a list that holds objects of the solution reads what `f(a)` beside it could change.
                side, is_changed = _Before([self._key]).visit(side), True
            found.append(side)
        if not is_changed:
            return [], sides
        self._needs_key = self._needs_key or is_direct
        return marks, found


class _Before(ast.NodeTransformer):
    """Names and attributes in an expression are read as they were at the first of the marks."""

    def __init__(self, marks: Sequence[str]) -> None:
        self.marks = marks

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._read(node) if isinstance(node.ctx, ast.Load) else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._read(node) if isinstance(node.ctx, ast.Load) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in (BEFORE, SETTLE):
            return node
        if isinstance(node.func, ast.Attribute):
            node.func.value = self.visit(node.func.value)
        elif not isinstance(node.func, ast.Name):
            node.func = self.visit(node.func)
        node.args = [self.visit(one) for one in node.args]
        node.keywords = [self.visit(one) for one in node.keywords]
        return node

    def _read(self, node: ast.expr) -> ast.AST:
        return ast.copy_location(_call(BEFORE, [node, *map(ast.Constant, self.marks)]), node)


def _is_length(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"


def _is_plain(node: ast.expr) -> bool:
    """A name: it is looked at once all operands are known, since it may be the answer itself."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, (ast.Name, ast.Constant))


def _call(name: str, args: Sequence[ast.expr]) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _settled(marks: Sequence[str], expected: Sequence[int], values: Sequence[ast.expr]) -> ast.Call:
    first = ast.Tuple([ast.Constant(name) for name in marks], ast.Load())
    second = ast.Tuple([ast.Constant(number) for number in expected], ast.Load())
    return _call(SETTLE, [first, second, *values])

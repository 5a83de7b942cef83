"""Names in the tests' code: which are the solution's, which hold what came of it, what a statement binds."""

import ast
import builtins
from collections.abc import Iterable, Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOOPS = (ast.For, ast.AsyncFor)
NOTHING, VARIABLE, DIRECT = range(3)
"""What an expression has of the solution: nothing, what it gave earlier, a name of its own."""


class Asked:
    """Names of the solution in the tests, and of the tests' variables that hold what came of it."""

    def __init__(self, roots: Iterable[str] = ()) -> None:
        self.roots = set(roots) - {""}
        self.variables: set[str] = set()

    def kind_of(self, *nodes: ast.AST) -> int:
        """The most that any of the expressions has of the solution."""
        kind = NOTHING
        for node in (part for one in nodes for part in ast.walk(one)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                if node.id in self.roots:
                    return DIRECT
                kind = max(kind, VARIABLE * (node.id in self.variables))
            elif isinstance(node, ast.Attribute):
                kind = max(kind, VARIABLE * (dotted(node) in self.variables))
        return kind

    def variables_in(self, *nodes: ast.AST) -> list[str]:
        """The variables that the expressions read."""
        read = {dotted(part) for one in nodes for part in ast.walk(one)}
        return sorted(read & self.variables)


def names_of_solution(source: str) -> set[str]:
    """Names under which a test module has the solution and what it imports from it."""
    tree = ast.parse(source)
    found: set[str] = set()
    bound: set[str] = set()
    from_star = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name.partition(".")[0]
                (found if module == "solution" else bound).add(alias.asname or module)
        elif isinstance(node, ast.ImportFrom):
            names = {alias.asname or alias.name for alias in node.names}
            of_solution = (node.module or "").partition(".")[0] == "solution"
            from_star = from_star or (of_solution and "*" in names)
            (found if of_solution else bound).update(names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    if from_star:
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        found |= read - bound - set(dir(builtins))
    return found - {"*"}


def targets(node: ast.AST) -> set[str]:
    """Names that an assignment binds: `a`, `self.a`; what it sets an item of counts as set."""
    if isinstance(node, (ast.Tuple, ast.List)):
        return set().union(*map(targets, node.elts))
    if isinstance(node, (ast.Starred, ast.Subscript)):
        return targets(node.value)
    return {dotted(node)} - {""}


def dotted(node: ast.AST) -> str:
    """`a`, `self.a`; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    base = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{base}.{node.attr}" if base and isinstance(node, ast.Attribute) else ""


def bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """(target, value) of what a statement or expression binds."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            value = node.value
            both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            if both and len(target.elts) == len(value.elts):  # type: ignore[attr-defined]
                yield from zip(target.elts, value.elts, strict=True)  # type: ignore[attr-defined]
            else:
                yield target, value
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, LOOPS):
        yield from items_of_loop(node.target, node.iter)
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        for item in node.items:
            if item.optional_vars is not None:
                yield item.optional_vars, item.context_expr


def items_of_loop(target: ast.expr, values: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What a loop binds of an answer: of `enumerate(values)` the items alone, of `range(k)` nothing."""
    called = getattr(values.func, "id", "") if isinstance(values, ast.Call) else ""
    if called == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        yield target.elts[1], values
    elif called != "range":
        yield target, values

"""What the statements of a code block say of its part in an answer: names, stubs, input and output, demonstrations."""

import ast
import builtins
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from verl_coder.bare_code import ParseBudget, bound_names

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__builtins__", "__doc__"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.Lambda)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_READERS = frozenset({"input", "stdin", "fileinput", "fdopen"})
_WRITERS = frozenset({"print", "stdout", "write", "writelines"})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the statements of a block say of its part in the answer."""

    body: Sequence[ast.stmt]
    works: bool
    """It does more than import, name values or declare stubs, and Python would compile it."""
    defines: frozenset[str]
    """Names of functions, classes, imports and values at its top level."""
    codes: frozenset[str]
    """Of these, functions and classes that are no stubs; `Class.method` of its methods."""
    values: frozenset[str]
    """Of these, what an assignment names."""
    needs: frozenset[str]
    """Names that it reads and does not bind."""
    at_load: frozenset[str]
    """Of these, the ones that it reads before any function of it is called."""
    adds: bool
    """It defines a function or a class that is no test."""
    only_defines: bool
    reads: bool
    """It mentions the standard input."""
    writes: bool
    """It prints."""
    feeds: bool
    """It puts a text of its own in the place of the standard input, as a demonstration does."""


@dataclass
class Shapes:
    """Shapes of codes, each parsed once within a budget."""

    budget: ParseBudget
    _known: dict[str, Shape | None] = field(default_factory=dict)

    def of(self, code: str) -> Shape | None:
        """None where the code is no Python, or the parser may read no more."""
        if code not in self._known:
            tree = self.budget.parse(code)
            self._known[code] = _shape(tree, code) if isinstance(tree, ast.Module) else None
        return self._known[code]


def _shape(tree: ast.Module, code: str) -> Shape:
    nodes = list(ast.walk(tree))
    changed = {id(node.target): node.target for node in nodes if isinstance(node, ast.AugAssign)}
    bound = bound_names(node for node in nodes if id(node) not in changed)
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    read |= {target.id for target in changed.values() if isinstance(target, ast.Name)}
    needs = (set() if "*" in bound else read - bound - _BUILTINS) | set(_from_the_answer(tree))
    words = read | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    words |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    if "input" in bound:
        words.discard("input")  # a name of the block's own
    own = {node.name for node in tree.body if isinstance(node, _DEFINITIONS)}
    at_once = set(_read_at_load(tree.body))
    # What its own functions need is needed at once if one of them may be called at once.
    at_load = (needs if at_once & own else needs & at_once) - set(_from_the_answer(tree))
    return Shape(
        body=tree.body,
        works=any(map(_works, tree.body)) and not _breaks_out(tree.body),
        defines=frozenset(name for node in _flat(tree.body) for name in _bound(node)),
        codes=frozenset(name for node in _flat(tree.body) for name in _coded(node)),
        values=frozenset(name for node in tree.body if not _is_definition(node) for name in _named(node)),
        needs=frozenset(needs),
        at_load=frozenset(at_load),
        adds=any(_is_definition(node) and not _is_test(node) for node in tree.body),
        only_defines=all(map(_only_defines, tree.body)),
        reads=not words.isdisjoint(_READERS)
        or "open(0" in code
        or "/dev/stdin" in code
        or "os.read(" in code,
        writes=not words.isdisjoint(_WRITERS),
        feeds=any(map(_feeds, nodes)),
    )


def _feeds(node: ast.AST) -> bool:
    """`sys.stdin = io.StringIO("3")`, but not of what the standard input itself holds."""
    if not isinstance(node, ast.Assign) or not any(_last_name(target) == "stdin" for target in node.targets):
        return False
    words = {_last_name(inner) for inner in ast.walk(node.value)}
    return not words.isdisjoint({"StringIO", "BytesIO"}) and words.isdisjoint({"stdin", "open", "read"})


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _read_at_load(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that are read, or changed, when the statements run, not when a function among them does."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        if isinstance(node, _FUNCTIONS):
            todo += [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]
        elif isinstance(node, ast.Lambda):
            todo.append(node.args)
        else:
            todo += ast.iter_child_nodes(node)


def _breaks_out(body: Sequence[ast.stmt]) -> bool:
    """Whether a part of a function's body stands alone (`return 4`), which only the parser takes."""
    todo: list[tuple[ast.AST, bool]] = [(node, False) for node in body]
    while todo:
        node, in_loop = todo.pop()
        if isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom, ast.Nonlocal)):
            return True
        if isinstance(node, (ast.Break, ast.Continue)) and not in_loop:
            return True
        if isinstance(node, _SCOPES):
            continue
        inside = isinstance(node, (ast.For, ast.While, ast.AsyncFor)) or (
            in_loop and not isinstance(node, ast.ClassDef)
        )
        todo += [(child, inside) for child in ast.iter_child_nodes(node)]
    return False


def _works(node: ast.stmt) -> bool:
    """Whether a statement is part of a program rather than a remark about one."""
    if isinstance(node, (*_IMPORTS, ast.Pass, ast.Return)):
        return False
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call | ast.Await)
    if isinstance(node, ast.AnnAssign):
        return node.value is not None
    if isinstance(node, _DEFINITIONS):
        return any(map(_fills, node.body))
    return True


def _fills(node: ast.stmt) -> bool:
    """Whether a statement of a function's or class's body makes it more than a stub."""
    if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return False
    if isinstance(node, _DEFINITIONS):
        return any(map(_fills, node.body))
    return True


def _coded(node: ast.stmt) -> Iterator[str]:
    """Names of functions and classes that a statement of the top level itself defines in full."""
    if isinstance(node, _DEFINITIONS):
        if any(_fills(part) and not _is_not_implemented(part) for part in _parts(node)):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (
                f"{node.name}.{name}" for part in node.body for name in _coded(part) if "." not in name
            )
    elif _is_definition(node):
        yield from _named(node)


def _parts(node: ast.stmt) -> Iterator[ast.stmt]:
    """Statements of a function's body; of a class, those of its methods and its own."""
    for part in getattr(node, "body", ()):
        if isinstance(node, ast.ClassDef) and isinstance(part, _DEFINITIONS):
            yield from _parts(part)
        else:
            yield part


def _is_not_implemented(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Raise) or node.exc is None:
        return False
    error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return isinstance(error, ast.Name) and error.id == "NotImplementedError"


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements with those in their `if`, `try`, `with` and loops, which are of the same scope."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, (*_DEFINITIONS, ast.expr)):
            todo += ast.iter_child_nodes(node)


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement of the top level binds, less those in its blocks."""
    if isinstance(node, _DEFINITIONS):
        yield node.name
    elif isinstance(node, _IMPORTS):
        for alias in node.names:
            yield (alias.asname or alias.name).partition(".")[0]
    else:
        yield from _named(node)


def _named(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id


def _from_the_answer(tree: ast.Module) -> Iterator[str]:
    """Names imported from a module that is none of Python's, as `from solution import f`: maybe another block's."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and not node.level and not _is_of_python(node):
            yield from (alias.name for alias in node.names)


def _is_of_python(node: ast.ImportFrom) -> bool:
    return (node.module or "").partition(".")[0] in sys.stdlib_module_names


def _is_definition(node: ast.stmt) -> bool:
    is_lambda = isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Lambda)
    return isinstance(node, _DEFINITIONS) or is_lambda


def _is_test(node: ast.stmt) -> bool:
    return getattr(node, "name", "").lower().startswith("test")


def _only_defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return not any(isinstance(part, ast.Call) for part in ast.walk(node))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, (*_DEFINITIONS, *_IMPORTS))


def parameters(shape: Shape, name: str) -> list[tuple[str, ...]]:
    """Names of the parameters of a function of the top level; of a class, its methods with theirs."""
    for node in reversed(shape.body):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return [(part.name, *_parameters(part)) for part in node.body if isinstance(part, _FUNCTIONS)]
        if isinstance(node, _FUNCTIONS) and node.name == name:
            return [tuple(_parameters(node))]
    return []


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    return (part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg))


def only_codes(shape: Shape) -> bool:
    """Whether there are functions and classes in full, and beside them nothing but imports and remarks."""
    return bool(shape.codes) and all(
        node.name in shape.codes if isinstance(node, _DEFINITIONS) else not _works(node)
        for node in shape.body
    )


def demonstrations(shape: Shape, wanted: Iterable[str], asked: Iterable[str]) -> list[ast.stmt]:
    """Statements that show what a block is good for: what is wanted of it by another block does not need them.

    They print, read, assert, stand below `if __name__ == "__main__"`, or use what the tests ask for, themselves or by
    a function or a value that does.
    """
    kept, shown = frozenset(wanted), set(asked) - set(wanted)
    talking = {node.name for node in shape.body if isinstance(node, _FUNCTIONS) and _is_talk(node)}
    found: list[ast.stmt] = []
    for node in shape.body:
        names = {name for part in _flat([node]) for name in _bound(part)}
        if names & kept or isinstance(node, _IMPORTS):
            continue
        if isinstance(node, _DEFINITIONS):
            is_shown = _is_test(node)
        else:
            at_once = set(_read_at_load([node]))
            is_shown = bool(at_once & (shown | talking)) or "__name__" in at_once or _talks(node)
            is_shown |= isinstance(node, ast.Assert)
        if is_shown:
            found.append(node)
            shown |= names
    return found


def _is_talk(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function prints, reads, or asserts something of its own."""
    asserts = any(isinstance(part, ast.Assert) for part in ast.walk(node))
    return _talks(node) or (asserts and not any(_parameters(node)))


def _talks(node: ast.AST) -> bool:
    """Whether something in a statement prints or reads."""
    words = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node)}
    return not words.isdisjoint(_READERS | _WRITERS)


def without(code: str, body: Sequence[ast.stmt], dropped: Sequence[ast.stmt]) -> str:
    """The code less the lines of some of its statements; what shares a line with another one stays."""
    gone = {id(node) for node in dropped}
    stays = {line for node in body if id(node) not in gone for line in _lines(node)}
    lost = {line for node in dropped for line in _lines(node)} - stays
    # The parser counts lines as these are counted here: the text has plain line ends.
    lines = code.split("\n")
    return "\n".join(line for number, line in enumerate(lines, start=1) if number not in lost)


def _lines(node: ast.stmt) -> range:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    return range(first, (node.end_lineno or node.lineno) + 1)


def future_imports(shape: Shape) -> list[ast.stmt]:
    """`from __future__ import ...`, which may only stand first."""
    return [node for node in shape.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]

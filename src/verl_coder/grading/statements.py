"""Reading test code: which statements are tests, which names they need, which calls have literal arguments."""

import ast
import builtins
import io
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from verl_coder.bare_code import bound_names
from verl_coder.syntax import parse_python

_BUILTINS = frozenset(dir(builtins))
_SHORT_CODE = 400
_SIMPLE = (
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.Expr,
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.Assert,
)


_OF_A_FUNCTION = (ast.Return, ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Await)
_SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


@dataclass(frozen=True, kw_only=True)
class CheckBody:
    """The statements of `check`, to be run one after the other at module level; `sources[0]` is `before`."""

    before: str
    sources: list[str]
    is_test: list[bool]


def statement_item(source: str, entry: str, make_call: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """One test statement: a literal call where it is one, both sides of an `assert ==`, else the source."""
    statements = parse_python(source.strip()).body
    item: dict[str, Any] = {"source": source.strip()}
    if len(statements) != 1 or not isinstance(statements[0], ast.Assert):
        return item
    test = statements[0].test
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return item
    left, right = test.left, test.comparators[0]
    if isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == entry:
        try:
            args = [ast.literal_eval(arg) for arg in left.args]
            kwargs = {str(kw.arg): ast.literal_eval(kw.value) for kw in left.keywords if kw.arg is not None}
            if len(kwargs) == len(left.keywords):
                return make_call(args, kwargs, ast.literal_eval(right), source.strip()[:400])
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            pass
    item["left"], item["right"] = ast.unparse(left), ast.unparse(right)
    return item


def does_something(code: str) -> bool:
    """Whether there is more than comments, docstrings and `pass`; long code is not looked at."""
    if len(code) > _SHORT_CODE or not code.strip():
        return bool(code.strip())
    try:
        body = parse_python(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    idle = (ast.Pass, ast.Constant)
    return not all(isinstance(node.value if isinstance(node, ast.Expr) else node, idle) for node in body)


def free_names(sources: Iterable[str]) -> list[str]:
    """Global names that the sources read and neither define nor find among the builtins, in order."""
    read: dict[str, None] = {}
    stored: set[str] = set()
    for source in sources:
        for node in ast.walk(parse_python(source.strip())):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                read[node.id] = None
        stored |= assigned_names(source)
    return [name for name in read if name not in stored and name not in _BUILTINS]


def import_statements(source: str) -> str:
    """The imports of module-level code."""
    found: list[ast.stmt] = [
        node for node in parse_python(source).body if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    return ast.unparse(ast.Module(body=found, type_ignores=[]))


def first_called(tests: Sequence[str], library: Container[str] = (), given: Iterable[str] = ()) -> str:
    """The function under test, where a dataset does not name it: the first called name that is nobody else's.

    What the tests define themselves, or the set-up (`given`), is theirs.

    Where there is none, one that a library has, else a builtin: the solution may be asked for it.
    """
    of_library = of_builtins = ""
    own = set(given).union(*map(assigned_names, tests))
    for source in tests:
        for node in ast.walk(parse_python(source.strip())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.func.id
                if name in own:
                    continue
                if name in _BUILTINS:
                    of_builtins = of_builtins or name
                elif name in library:
                    of_library = of_library or name
                else:
                    return name
    return of_library or of_builtins


def assigned_names(source: str) -> set[str]:
    """Names that module-level code defines, its function parameters and comprehension variables included."""
    return bound_names(ast.walk(parse_python(source.strip()))) - {"", "*"}


def passes_variables(sources: Iterable[str]) -> bool:
    """Whether any call gets something that outlives it, so that the tests could see it changed in place."""
    for source in sources:
        for node in ast.walk(parse_python(source.strip())):
            if isinstance(node, ast.Call):
                values = [*node.args, *(keyword.value for keyword in node.keywords)]
                if any(isinstance(v, (ast.Name, ast.Starred, ast.Attribute, ast.Subscript)) for v in values):
                    return True
    return False


def shows_changes(sources: Sequence[str], asked: Iterable[str]) -> bool:
    """Whether the tests could see that something changes or is the same thing: the solution and they share objects."""
    return passes_variables(sources) or any(
        _looks_at_things(node, set(asked)) for source in sources for node in _own_nodes(source)
    )


def _own_nodes(source: str) -> Iterator[ast.AST]:
    """The nodes of a source but for names that are only called."""
    nodes = list(ast.walk(parse_python(source.strip())))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return (node for node in nodes if id(node) not in called)


def _looks_at_things(node: ast.AST, asked: set[str]) -> bool:
    """A comparison by `is` of two things, or a value of the solution's under its global name."""
    if isinstance(node, ast.Name):
        return node.id in asked and isinstance(node.ctx, ast.Load)
    if not isinstance(node, ast.Compare) or not any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
        return False
    return not any(isinstance(side, ast.Constant) for side in (node.left, *node.comparators))


def check_body(source: str, prelude: str = "") -> tuple[str, CheckBody | None]:
    """(parameter of `check`, its body if it is a plain list of statements with asserts in it, else None).

    `prelude` runs before it under the same names.
    """
    tree = parse_python(source)
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if not checks:
        raise SyntaxError("it defines no function `check`")
    function = checks[-1]
    if not function.args.args:
        raise SyntaxError("`check` takes no argument")
    parameter = function.args.args[0].arg
    rest = [node for node in tree.body if node is not function]
    if not _is_flat(function, [*parse_python(prelude).body, *rest]):
        return parameter, None
    if not all(isinstance(node, _SIMPLE) for node in function.body):
        return parameter, None
    if not any(isinstance(node, ast.Assert) for node in function.body):
        return parameter, None
    before = ast.unparse(ast.Module(body=rest, type_ignores=[]))
    lines = list(io.StringIO(source, newline=None))  # as Python counts them: a form feed ends none
    sources = [_segment(lines, node) for node in function.body]
    return parameter, CheckBody(
        before=before,
        sources=[before, *sources],
        is_test=[isinstance(node, ast.Assert) for node in function.body],
    )


def _is_flat(function: ast.FunctionDef, rest: Sequence[ast.stmt]) -> bool:
    """Whether the statements of `check` mean the same as those of a module with the `rest` before them."""
    nodes = list(ast.walk(function))
    arguments = function.args
    if any(isinstance(node, _OF_A_FUNCTION) for node in nodes) or function.decorator_list:
        return False
    if len(arguments.args) > 1 or arguments.kwonlyargs or arguments.vararg or arguments.kwarg:
        return False
    others = [node for statement in rest for node in ast.walk(statement)]
    named = any(getattr(node, "name", getattr(node, "id", "")) == "check" for node in [*others, *nodes[1:]])
    if named and arguments.args[0].arg != "check":
        return False
    same = _imported(function.body).items() & _imported(rest).items()
    mine = bound_names(_own_scope(function.body)) - {name for name, _ in same} - {""}
    return mine.isdisjoint(_globals_of(rest))


def _own_scope(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes but for what stands inside of functions, classes and comprehensions."""
    left = list(statements)
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, _SCOPES):
            left += ast.iter_child_nodes(node)


def _globals_of(statements: Iterable[ast.stmt]) -> set[str]:
    """Names that module-level code binds or reads, in its functions too."""
    names: set[str] = set()
    for node in _own_scope(statements):
        inner = list(ast.walk(node)) if isinstance(node, _SCOPES) else [node]
        read = {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        names |= bound_names([node]) | (read - bound_names(inner[1:]))
    return names


def _imported(statements: Iterable[ast.AST]) -> dict[str, tuple[str | None, str]]:
    """Name -> (module, name there) of what is imported."""
    return {
        (alias.asname or alias.name).partition(".")[0]: (getattr(node, "module", None), alias.name)
        for node in _own_scope(statements)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def _segment(lines: list[str], node: ast.stmt) -> str:
    """Source of a statement, without parsing it again; several lines lose the first one's indentation."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    if node.lineno == node.end_lineno:
        line = lines[node.lineno - 1].encode()
        return line[node.col_offset : node.end_col_offset].decode()
    return ast.unparse(node)


def test_function_count(source: str) -> int:
    """Test functions and methods of a pytest module."""
    tree = parse_python(source)
    count = 0
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else [node]
        count += sum(isinstance(m, ast.FunctionDef) and m.name.startswith("test") for m in members)
    return count


def needs_pytest(source: str) -> bool:
    """Whether anything but plain test functions without arguments is in the module."""
    tree = parse_python(source)
    for node in ast.walk(tree):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if any(name.partition(".")[0] in ("pytest", "unittest", "_pytest", "hypothesis") for name in names):
            return True
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.name.startswith("test") and (
                _takes_arguments(node) or isinstance(node, ast.AsyncFunctionDef)
            ):
                return True
            if node.name in ("setup_function", "teardown_function", "setup_module", "teardown_module"):
                return True
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            return True
    return False


def _takes_arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    args = node.args
    return len(args.args) + len(args.kwonlyargs) + len(args.posonlyargs) > len(args.defaults)

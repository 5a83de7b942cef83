"""How tests use the names that they do not define: as a library's, as a class of the solution, as a function of it."""

import ast
import builtins
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from verl_coder.syntax import parse_python

_LIBRARIES = (
    "math", "cmath", "collections", "functools", "itertools", "heapq", "bisect", "typing", "string", "random",
    "decimal", "fractions", "datetime", "statistics", "copy", "dataclasses",
)  # fmt: skip
_ALIASES = {"np": "numpy", "numpy": "numpy"}
_BUILTIN_TYPES = (str, bytes, list, tuple, dict, set, frozenset, int, float, complex)
_ARRAY_ATTRIBUTES = [
    "shape",
    "dtype",
    "ndim",
    "size",
    "all",
    "any",
    "sum",
    "mean",
    "tolist",
    "astype",
    "item",
    "T",
    "reshape",
    "flatten",
    "min",
    "max",
]
_BUILTIN_ATTRIBUTES = frozenset(name for kind in _BUILTIN_TYPES for name in dir(kind)) | frozenset(
    _ARRAY_ATTRIBUTES
)
_FUNCTION_ATTRIBUTES = frozenset((*dir(lambda: 0), "cache_info", "cache_clear", "cache_parameters", "calls"))
_CLASS_ARGUMENT = {
    "isinstance": 1, "issubclass": 1, "assertIsInstance": 1, "assertNotIsInstance": 1, "raises": 0, "assertRaises": 0,
    "assertRaisesRegex": 0,
}  # fmt: skip
"""Which argument of a function is a class: what is tested stands beside it (`isinstance(f(1), int)`)."""
_NEVER_TESTED = frozenset(
    "isclose Counter defaultdict deque OrderedDict namedtuple Decimal Fraction datetime timedelta deepcopy "  # noqa: SIM905
    "inf nan pi".split()
)


_CHECKERS = frozenset(("isclose", "deepcopy", "namedtuple"))
_BUILTINS = frozenset(dir(builtins))


def public_names(module: str) -> list[str]:
    """What `from module import *` brings."""
    content = importlib.import_module(module)
    return [name for name in getattr(content, "__all__", None) or dir(content) if not name.startswith("_")]


@lru_cache
def library_names() -> dict[str, str]:
    """Public names of the usual modules, each with its home; the first module that has a name keeps it."""
    homes: dict[str, str] = {}
    for module in _LIBRARIES:
        for name in public_names(module):
            homes.setdefault(name, f"{module}:{name}")
    return homes


def is_library_name(name: str) -> bool:
    """Whether tests that read the name may mean a library's."""
    return name in library_names() or name in sys.stdlib_module_names


def asked_of_solution(sources: Iterable[str], classes: Iterable[str], others: Iterable[str]) -> set[str]:
    """Names of the reference solution that the tests ask the solution for, although a library has them.

    Classes are. `others` are functions and variables, which could be what answers are checked with: so not those that
    stand beside a call of something else of the solution, nor functions of anything but literals.
    """
    found = set(others) - _CHECKERS
    for source in sources if found else ():
        for node in ast.walk(parse_python(source.strip())):
            if not isinstance(node, (ast.Call, ast.Compare)):
                continue
            parts = list(ast.walk(node))
            called = {next(_names(part.func), "") for part in parts if isinstance(part, ast.Call)} - _BUILTINS
            read = {name for part in parts for name in _names(part)}
            found -= {name for name in found & read if called - {name, ""}}
            if isinstance(node, ast.Call):
                arguments = (*node.args, *(keyword.value for keyword in node.keywords))
                found -= set() if all(map(_is_literal, arguments)) else set(_names(node.func))
    return found | set(classes)


def _is_literal(node: ast.AST) -> bool:
    try:
        ast.literal_eval(node)  # type: ignore[arg-type]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def libraries(sources: Iterable[str], names: Iterable[str], *, may_be_tested: bool = False) -> dict[str, str]:
    """Those of `names` that are a library's: modules of which the tests only use what is in them, and known names.

    `may_be_tested`: any of them might be what the solution was asked for, so only what nobody asks for counts.
    """
    only_asked_for_parts = _modules_only(sources)
    found = {}
    for name in names:
        is_module = name in _ALIASES or name in sys.stdlib_module_names
        if is_module and name in only_asked_for_parts:
            found[name] = _ALIASES.get(name, name)
            continue
        home = library_names().get(name, "")
        if home and (not may_be_tested or name in _NEVER_TESTED or home.startswith("typing:")):
            found[name] = home
    return found


def _modules_only(sources: Iterable[str]) -> set[str]:
    """Names that are only read as in `name.part`."""
    with_part: set[str] = set()
    bare: set[str] = set()
    for source in sources:
        nodes = list(ast.walk(parse_python(source.strip())))
        bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        for node in nodes:
            if isinstance(node, ast.Name):
                (with_part if id(node) in bases else bare).add(node.id)
    return with_part - bare


def used_as_classes(sources: Iterable[str], also_called: Mapping[str, str] = {}) -> list[str]:
    """Names that the tests use as classes of the solution, told by what is done with them and with what they make.

    A class stands where only classes do: in `isinstance`, `except`, `raises`, below another. Its parts, and what is
    done with what it makes (attributes that no builtin type has, a method called for its own sake, an operation with
    its like), tell the same of a name with a capital only: a function returns lists that are sorted, and objects.
    `also_called` has the names by which the tests call what the solution calls otherwise.
    """
    found: dict[str, None] = {}
    for source in sources:
        usage = _Usage(parse_python(source.strip()))
        names = [(also_called.get(name, name), True) for name in usage.in_place_of_classes()]
        names += [(also_called.get(name, name), False) for name in usage.treated_as_classes()]
        found.update((name, None) for name, certain in names if certain or _has_capital(name))
    return list(found)


def _has_capital(name: str) -> bool:
    return name.lstrip("_")[:1].isupper()


class _Usage:
    """One source; variables are told apart by name only."""

    def __init__(self, tree: ast.AST) -> None:
        self.nodes = list(ast.walk(tree))
        self.makers: dict[str, set[str]] = {}
        for node in self.nodes:
            for target, value in _assignments(node):
                if (maker := self._maker(value)) is not None:
                    self.makers.setdefault(target, set()).add(maker)

    def in_place_of_classes(self) -> Iterator[str]:
        """Names that stand where only a class may."""
        for node in self.nodes:
            if isinstance(node, ast.Call) and (place := _CLASS_ARGUMENT.get(_called(node))) is not None:
                for argument in node.args[place : place + 1]:
                    yield from _alternatives(argument)
            elif isinstance(node, ast.ExceptHandler) and node.type is not None:
                yield from _alternatives(node.type)
            elif isinstance(node, ast.ClassDef):
                for base in node.bases:
                    yield from _names(base)

    def treated_as_classes(self) -> Iterator[str]:
        """Names that, or whose results, are used as classes and objects are."""
        for node in self.nodes:
            if isinstance(node, ast.Attribute):
                yield from self._of_attribute(node)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                if isinstance(node.value.func, ast.Attribute):
                    yield from self._makers_of(node.value.func.value)
            elif isinstance(node, (ast.BinOp, ast.Compare)):
                sides = [node.left, *([node.right] if isinstance(node, ast.BinOp) else node.comparators)]
                made = [set(self._makers_of(side)) for side in sides]
                if all(made):
                    yield from sorted(set.union(*made))
            elif isinstance(node, ast.withitem):
                yield from self._makers_of(node.context_expr)
            elif isinstance(node, ast.Raise) and node.exc is not None:
                yield from self._makers_of(node.exc)
            elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                yield from self._makers_of(node.value)

    def _of_attribute(self, node: ast.Attribute) -> Iterator[str]:
        if isinstance(node.value, ast.Name) and node.value.id != "solution":
            if node.value.id not in self.makers and node.attr not in _FUNCTION_ATTRIBUTES:
                yield node.value.id
        elif isinstance(node.value, ast.Attribute):
            yield from _names(node.value)
        if node.attr not in _BUILTIN_ATTRIBUTES or not isinstance(node.ctx, ast.Load):
            yield from self._makers_of(node.value)

    def _makers_of(self, node: ast.AST) -> Iterator[str]:
        maker = self._maker(node)
        if maker is not None:
            yield maker
        name = _text(node)
        if name is not None:
            yield from sorted(self.makers.get(name, ()))

    def _maker(self, node: ast.AST | None) -> str | None:
        if isinstance(node, (ast.BinOp, ast.UnaryOp)):
            return self._maker(node.left if isinstance(node, ast.BinOp) else node.operand)
        return next(_names(node.func), None) if isinstance(node, ast.Call) else None


def _alternatives(node: ast.AST) -> Iterator[str]:
    """`A`, `(A, B)` and `A | B` as names of the solution; not what is called to find a class (`type(f(1))`)."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    if isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    for part in parts:
        yield from _names(part) if part is node else _alternatives(part)


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """(name, value): a fixture's name stands for what it returns."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            targets = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
            values = (
                node.value.elts
                if isinstance(node.value, (ast.Tuple, ast.List))
                else [node.value] * len(targets)
            )
            for part, value in zip(targets, values, strict=False):
                if (name := _text(part)) is not None:
                    yield name, value
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        if (name := _text(node.target)) is not None:
            yield name, node.value
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        if (name := _text(node.optional_vars)) is not None:
            yield name, node.context_expr
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        for inner in ast.walk(node):
            if isinstance(inner, (ast.Return, ast.Yield)):
                yield node.name, inner.value


def _text(node: ast.AST) -> str | None:
    """`x` and `self.x` as names of variables."""
    if isinstance(node, ast.Name):
        return node.id
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("self", "cls")
    ):
        return f"self.{node.attr}"
    return None


def _called(node: ast.Call) -> str:
    func = node.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _names(node: ast.AST) -> Iterator[str]:
    """`X` and `solution.X` as names of the solution."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "solution":
        yield node.attr

"""The import from `solution` that a test module needs: what it uses, and under whatever name it imports it."""

import ast
import importlib.machinery
import site
import symtable
import sys
from collections.abc import Iterable, Iterator

from verl_coder.data.python_code import defined_names, imported_from_solution, parse

_MODULE = "solution"


def import_from_solution(test: str, solution: str, listed: Iterable[str] = ()) -> str:
    """The test module with every name of the solution that it uses imported from `solution`.

    An import from a module that does not exist, of names that the solution defines, is one from `solution`. A module
    that the tests use and do not import is imported as in the solution, or by its name. `listed` are names that the
    dataset gives; they count where one of the two texts does not parse. `*` where nothing is known.
    """
    defined = set(defined_names(solution))
    test = _with_module_named(test.replace("\r\n", "\n"), defined)
    imported = imported_from_solution(test)
    if "*" in imported:
        return test
    used = _unbound_names(test)
    if used is None:
        names = [] if imported else [name for name in listed if name in defined]
    else:
        names = [name for name in used if name in defined or (not defined and name in listed)]
    lines = [f"from {_MODULE} import {', '.join(names)}"] if names else []
    if not names and not imported:
        lines = [f"from {_MODULE} import *"]
    return _inserted(
        test, lines + _modules(test, solution, [name for name in used or () if name not in defined])
    )


def _unbound_names(test: str) -> list[str] | None:
    """Names that the module uses and does not bind, in order; None where it does not parse."""
    try:
        top = symtable.symtable(test, "test", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    bound = {name.get_name() for name in top.get_symbols() if _binds(name)}
    used: dict[str, None] = {}
    for table in _tables(top):
        for symbol in table.get_symbols():
            is_global = symbol.is_global() or table is top
            if is_global and symbol.is_assigned() and table is not top:
                bound.add(symbol.get_name())  # a function with a `global` statement
            elif is_global and symbol.is_referenced():
                used[symbol.get_name()] = None
    return [name for name in used if name not in bound]


def _binds(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _modules(test: str, solution: str, wanted: list[str]) -> list[str]:
    """Imports that bind the wanted names: as the solution has them, or of a module that the test takes something of."""
    tree = parse(solution)
    found, bound = [], set()
    for node in tree.body if tree else []:
        if isinstance(node, ast.Import | ast.ImportFrom):
            aliases = [a for a in node.names if (a.asname or a.name.partition(".")[0]) in wanted]
            bound |= {a.asname or a.name.partition(".")[0] for a in aliases}
            if aliases:
                node.names = aliases
                found.append(ast.unparse(node))
    own = parse(test)
    for name in wanted if own else []:
        is_module = name == "pytest" or name in sys.stdlib_module_names
        if is_module and name not in bound and own and _attributes(own, name):
            found.append(f"import {name}")
    return found


def _with_module_named(test: str, defined: set[str]) -> str:
    """Imports of the solution's names from a module that does not exist, as imports from `solution`."""
    tree = parse(test)
    replaced: list[tuple[ast.stmt, str]] = []
    for node in ast.walk(tree) if tree else []:
        if isinstance(node, ast.ImportFrom):
            is_known = node.level == 0 and _exists(node.module or "")
            names = {alias.name for alias in node.names}
            if not is_known and (names <= defined or names == {"*"}):
                node.module, node.level = _MODULE, 0
                replaced.append((node, ast.unparse(node)))
        elif isinstance(node, ast.Import) and tree is not None:
            [first, *others] = node.names
            name = first.asname or first.name
            attributes = _attributes(tree, name)
            if not others and attributes and attributes <= defined and not _exists(first.name):
                replaced.append((node, f"import {_MODULE} as {name}"))
    return _replaced(test, replaced)


def _attributes(tree: ast.Module, name: str) -> set[str]:
    """What the module takes of `name` with a dot."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


def _exists(module: str) -> bool:
    """Whether a module is the solution itself, of the standard library, or installed.

    Not what this process could import besides: that depends on the folder and the command that started it.
    """
    top = module.partition(".")[0]
    if top in (_MODULE, "__future__") or top in sys.stdlib_module_names:
        return True
    spec = importlib.machinery.PathFinder.find_spec(top, site.getsitepackages()) if top else None
    # A folder without code of its own is a module, too.
    return spec is not None and spec.origin is not None


def _replaced(code: str, replaced: list[tuple[ast.stmt, str]]) -> str:
    """The code with the statements replaced; positions in a syntax tree count bytes."""
    if not replaced:
        return code
    lines = code.encode(errors="surrogatepass").split(b"\n")
    for node, text in sorted(replaced, key=lambda pair: (pair[0].lineno, pair[0].col_offset), reverse=True):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        head, tail = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        lines[first : last + 1] = [head + text.encode() + tail]
    return b"\n".join(lines).decode(errors="surrogatepass")


def _inserted(test: str, lines: list[str]) -> str:
    """The test module with further lines, behind the imports from `__future__`, which must be first."""
    if not lines:
        return test
    tree = parse(test)
    future = [
        node.end_lineno or 0
        for node in (tree.body if tree else [])
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    parts = test.split("\n")
    place = max(future, default=0)
    return "\n".join([*parts[:place], *lines, *parts[place:]])

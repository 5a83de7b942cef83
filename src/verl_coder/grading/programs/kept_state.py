"""What a program leaves behind in its process, so that the next test of it would run otherwise than in a fresh one."""

import ast
import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_SETS = re.compile(
    r"set(?!diff1d$|xor1d$|default$|item$|recursionlimit$|_int_max_str_digits$|switchinterval$)[a-z_]+|signal|alarm"
    r"|chdir|umask|simplefilter|filterwarnings|resetwarnings|catch_warnings|(un)?register\w*|reload|field_size_limit"
    r"|init_printing|basicConfig|install|tzset|__dict__|__setattr__"
)
"""Of a library: what it keeps for the process."""
_FILLS = frozenset("add append clear extend insert pop popitem remove setdefault sort update".split())  # noqa: SIM905
_RENEWED = frozenset(("stdin", "stdout", "stderr", "argv"))
"""Of `sys`, made anew for each test."""
_RESTORED = frozenset(("environ",))
_IMPORTERS = frozenset(("__import__", "import_module"))
_KEEPERS = frozenset(("logging", "tempfile"))
"""Whose objects are the process's (a logger's handlers), or whose files lie outside of its folder."""
_TELLING = frozenset(
    word
    for words in (
        "current_process current_task current_thread currentThread expanduser get_name getName home",
        "process_time process_time_ns thread_time thread_time_ns clock_gettime clock_gettime_ns times cpu_times",
        "getrusage memory_info getallocatedblocks get_count get_objects get_stats get_traced_memory",
    )
    for word in words.split()
)
"""What a process counts on, numbers (`Thread-2`), seconds of work and memory, and folders that outlast a test."""
_OUTSIDE = re.compile(r"/(tmp|var|dev/shm|home|root|proc)\b")


def leaves_state(tree: ast.AST) -> bool:
    """Whether the text of a program changes what it imported, or what a library keeps for the process."""
    nodes = list(ast.walk(tree))
    modules: set[str] = set()
    parts: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            if any(alias.name.partition(".")[0] in _KEEPERS for alias in node.names):
                return True
            modules.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = (node.module or "").partition(".")[0]
            if home in _KEEPERS or any(_keeps(alias.name) for alias in node.names):
                return True
            parts.update(alias.asname or alias.name for alias in node.names)
    imported = parts | modules
    imported |= set(_other_names(nodes, imported))
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    parts -= stored
    own = stored | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    if "*" in parts and any(_keeps(name) and name not in own for name in _whole(nodes)):
        return True
    if any(name in modules - stored for name in _whole(nodes)):
        return True
    return any(_changes(node, imported) or _fills(node, parts) for node in nodes)


def _keeps(name: str) -> bool:
    """Whether a library's function of that name keeps something for the process, or tells what it has kept."""
    return name in _TELLING or _SETS.fullmatch(name) is not None


def _fills(node: ast.AST, parts: set[str]) -> bool:
    """Whether a list or dict that the program took from a library is changed, or a text names a folder outside."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and bool(_OUTSIDE.match(node.value))
    if not isinstance(node, ast.Attribute | ast.Subscript) or not isinstance(node.value, ast.Name):
        return False
    filled = node.attr in _FILLS if isinstance(node, ast.Attribute) else not isinstance(node.ctx, ast.Load)
    return filled and node.value.id in parts


def _other_names(nodes: Iterable[ast.AST], imported: set[str]) -> Iterator[str]:
    """Names that a program gives to a part of what it imported: `F = fractions.Fraction`."""
    assigned = [
        (target.id, node.value)
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    known = set(imported)
    for _ in range(2):
        for name, value in assigned:
            if name not in known and _root(value) in known | _IMPORTERS:
                known.add(name)
                yield name


def _whole(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Names that are read as they are, and not for an attribute: who gets a whole module may change it."""
    plain = [
        node.value
        for node in nodes
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    ]
    known = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)} | set(map(id, plain))
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in known:
            yield node.id


def _changes(node: ast.AST, imported: set[str]) -> bool:
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        on_imported = bool(node.args) and _root(node.args[0]) in imported
        return called == "exec" or (called in ("setattr", "delattr") and on_imported)
    if not isinstance(node, (ast.Attribute, ast.Subscript)) or _root(node) not in imported | _IMPORTERS:
        return False
    if isinstance(node.ctx, ast.Load):
        return isinstance(node, ast.Attribute) and _may_set(node)
    renewed = isinstance(node, ast.Attribute) and node.attr in _RENEWED
    # A global list that the program imported from nowhere has no root here.
    of_item = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
    of_environment = isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "environ"
    return not (renewed or of_item or of_environment)


def _may_set(node: ast.Attribute) -> bool:
    """Whether a method or function of what was imported keeps something: `decimal.setcontext`, `sys.path.append`."""
    of_part = isinstance(node.value, ast.Attribute) and node.value.attr not in _RESTORED
    return _keeps(node.attr) or (node.attr in _FILLS and of_part)


def _root(node: ast.AST) -> str:
    """The name that a chain of attributes and items begins with; of a module that a call imports, the call's."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    if isinstance(node, ast.Call):
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return called if called in _IMPORTERS else ""
    return node.id if isinstance(node, ast.Name) else ""


class ProcessState:
    """Limits and names of the process that a program may set, as they were before it."""

    def __init__(self, source: bytes = b"") -> None:
        self._limits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
        mapping: Any = os.environ
        self._mapping = mapping
        self._data: dict[bytes, bytes] = mapping._data  # not decoded at each look
        self._environment = dict(self._data)
        self._folder = os.getcwd()
        self._files = set(os.listdir(self._folder))
        self._seeds = b"seed" in source or b"setstate" in source

    def has_new_files(self) -> bool:
        """Whether something lies in the folder that was not there before: the next test would find it."""
        return not self._files.issuperset(os.listdir(self._folder))

    def restore(self) -> None:
        """Set them as they were."""
        recursion, digits = self._limits
        sys.setrecursionlimit(recursion)
        sys.set_int_max_str_digits(digits)
        # A program may have put others in their places.
        os.environ, self._mapping._data = self._mapping, self._data
        if self._data != self._environment:
            self._mapping.clear()
            self._mapping.update(
                {os.fsdecode(name): os.fsdecode(value) for name, value in self._environment.items()}
            )
        os.chdir(self._folder)
        with contextlib.suppress(Exception):
            if (decimal := sys.modules.get("decimal")) is not None:
                decimal.setcontext(decimal.Context())
        for name in ("random", "numpy.random") if self._seeds else ():
            with contextlib.suppress(Exception):
                if (library := sys.modules.get(name)) is not None:
                    library.seed()


def parsed(source: bytes) -> Any:
    """The tree of a program that compiles; an empty one where only its tree is too deep to make."""
    try:
        return ast.parse(source)
    except (RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])

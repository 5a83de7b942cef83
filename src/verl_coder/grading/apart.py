"""What tests do that cannot reach the solution, which runs in another process: known from their source."""

import ast
from collections.abc import Iterable

from verl_coder.syntax import parse_python

_FIXTURES = frozenset(("tmp_path", "tmpdir", "tmp_path_factory", "monkeypatch", "mocker"))
_CALLS = frozenset(
    ("patch", "getsource", "getmembers", "NamedTemporaryFile", "TemporaryDirectory", "mkdtemp", "mkstemp")
)
_AT_ONCE = frozenset(("gather", "wait_for", "create_task", "ensure_future", "as_completed", "TaskGroup"))
"""Of `asyncio`: a coroutine of the solution has run to its end before the tests await it."""
_ATTRIBUTES = frozenset(("__members__", "__code__", "__closure__", "__wrapped__"))


def out_of_reach(sources: Iterable[str]) -> list[str]:
    """What the tests use and a solution apart from them does not see, each once: fixtures, functions, syntax."""
    found: dict[str, None] = {}
    for source in sources:
        try:
            tree = parse_python(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if name := _name(node):
                found[name] = None
    return list(found)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.arg) and node.arg in _FIXTURES:
        return node.arg
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in _CALLS:
            return f"{called}()"
        if called in _AT_ONCE or _is_asyncio(node.func, ("wait", "timeout")):
            return f"asyncio.{called}()"
        # patch.object, mock.patch.dict
        if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "patch":
            return "patch()"
    if isinstance(node, ast.Attribute) and node.attr in _ATTRIBUTES:
        return node.attr
    if isinstance(node, ast.MatchClass):
        return "match of a class"
    if isinstance(node, ast.AsyncFor | ast.AsyncWith):
        return "async for" if isinstance(node, ast.AsyncFor) else "async with"
    if isinstance(node, ast.comprehension) and node.is_async:
        return "async for"
    return ""


def _is_asyncio(function: ast.AST, names: tuple[str, ...]) -> bool:
    """`asyncio.wait`, whose name alone says little."""
    if not isinstance(function, ast.Attribute) or function.attr not in names:
        return False
    return isinstance(function.value, ast.Name) and function.value.id == "asyncio"

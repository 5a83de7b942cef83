"""Names in Python source: what a solution defines, what a test calls or imports."""

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence

from verl_coder.extraction import extract_code
from verl_coder.syntax import parse_python

_CLASS_MAKERS = frozenset(
    (
        "namedtuple",
        "NamedTuple",
        "TypedDict",
        "Enum",
        "IntEnum",
        "StrEnum",
        "Flag",
        "IntFlag",
        "make_dataclass",
        "type",
    )
)
_FAILING_WORDS = ("assert", "raise")
_DEFINITION = re.compile(r"^(?:async\s+)?(?:def|class)\s+(\w+)", re.MULTILINE)
_CALL = re.compile(r"\b(\w+)\s*\(")
_IMPORT = re.compile(r"^\s*from\s+solution\s+import\s+([\w ,*]+)", re.MULTILINE)


def parse(code: str) -> ast.Module | None:
    """The syntax tree, or None where the code is not this Python's."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # "\d" in other people's code
            return parse_python(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def defined_names(code: str) -> list[str]:
    """Functions, classes and variables at the top level, in order."""
    tree = parse(code)
    if tree is None:
        return _DEFINITION.findall(code)
    names: list[str] = []
    for node in _statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign) or (isinstance(node, ast.AnnAssign) and node.value):
            names.extend(_set_by(node))
    return list(dict.fromkeys(names))


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, in order, with those in its `if`, `try` and `with` but for what only a program runs."""
    waiting: list[ast.stmt] = list(reversed(body))
    while waiting:
        yield (node := waiting.pop())
        parts: list[ast.stmt] = []
        if isinstance(node, ast.If) and _is_main_guard(node.test):
            parts = node.orelse
        elif isinstance(node, ast.If):
            parts = [*node.body, *node.orelse]
        elif isinstance(node, ast.Try | ast.TryStar):
            handled = (inner for handler in node.handlers for inner in handler.body)
            parts = [*node.body, *handled, *node.orelse, *node.finalbody]
        elif isinstance(node, ast.With):
            parts = node.body
        waiting.extend(reversed(parts))


def _is_main_guard(test: ast.expr) -> bool:
    """`__name__ == "__main__"`, either way round; a condition may be too deep to be written out."""
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq) or len(test.ops) > 1:
        return False
    sides = (test.left, test.comparators[0])
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def _called_name(function: ast.expr) -> str:
    """The last name of what is called: `c` of `a.b.c(...)`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _set_by(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    inner = (part for target in targets for part in ast.walk(target))
    return [part.id for part in inner if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]


def function_head(code: str, name: str) -> str:
    """`def name(...):` as `code` defines it last at the top level, its defaults and annotations too; else empty."""
    tree = parse(code)
    found = [node for node in (tree.body if tree else []) if isinstance(node, ast.FunctionDef)]
    for node in reversed(found):
        if node.name == name:
            node.body, node.decorator_list = [ast.Expr(ast.Constant(...))], []
            return ast.unparse(node).partition("\n")[0]
    return ""


def without_fence(text: str) -> str:
    """The code of a text that is no Python but Markdown with a code block; any other text as it is."""
    if "```" not in text and "~~~" not in text:
        return text
    if parse(text) is not None or parse(textwrap.dedent(text)) is not None:  # a program, or a function's body
        return text
    return extract_code(text) or text


def statement_groups(code: str) -> list[str]:
    """The tests in a text: each ends with an `assert` at the top level, and what follows the last is one, too."""
    tree = parse(code)
    if tree is None:
        return code.splitlines()
    lines = code.replace("\r\n", "\n").split("\n")
    ends = [node.end_lineno or 0 for node in tree.body if isinstance(node, ast.Assert)]
    starts = [0, *ends]
    return [
        "\n".join(lines[start:end]).strip() for start, end in zip(starts, [*ends, len(lines)], strict=True)
    ]


def can_fail(test: str) -> bool:
    """Whether tests assert, raise, or call what does (`assertEqual`, `pytest.raises`, `self.fail`)."""
    tree = parse(test)
    if tree is None:
        return any(word in test for word in _FAILING_WORDS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = _called_name(node.func).lower()
            if any(word in name for word in _FAILING_WORDS) or name == "fail":
                return True
    return False


def class_names(code: str) -> tuple[str, ...] | None:
    """Classes at the top level by all their names, also made by `namedtuple(...)`; None where it does not parse."""
    tree = parse(code)
    if tree is None:
        return None
    names: dict[str, None] = {}
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef):
            names[node.name] = None
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            made_by = _called_name(node.value.func) if isinstance(node.value, ast.Call) else ""
            is_alias = isinstance(node.value, ast.Name) and node.value.id in names
            if is_alias or made_by in _CLASS_MAKERS:
                names.update(dict.fromkeys(_set_by(node)))
    return tuple(names)


def tested_name(solution: str, tests: str) -> str:
    """The name that the solution defines and the tests call first; empty if there is none."""
    defined = set(defined_names(solution))
    # A regular expression, because a test may be a fragment.
    return next((name for name in _CALL.findall(tests) if name in defined), "")


def imported_from_solution(test: str) -> list[str]:
    """Names that a pytest module imports from `solution`; `*` for a star or a plain `import solution`."""
    tree = parse(test)
    if tree is None:
        return [name.strip() for group in _IMPORT.findall(test) for name in group.split(",")]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "solution":
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.Import) and any(alias.name == "solution" for alias in node.names):
            names.append("*")
    return list(dict.fromkeys(names))

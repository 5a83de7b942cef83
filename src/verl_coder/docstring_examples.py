"""Examples in a docstring (`>>> f(1)` above what it gives, or `f(1) => 2`) and assert statements: each as the other.

What is taken is a call of the function, or of a builtin around it, with nothing but values in it, and a literal that it
is to give: an assert that a right solution fails, or that any passes, is worse than none.
"""

import ast
import builtins
import doctest
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from verl_coder.syntax import literal_value, parsed

_GIVES = re.compile(r"-+>|=+>|==|[➞→➡]|should return|returns?")
"""What stands between a call and its result where no `>>>` does; a single `=` makes a formula."""
_LONGEST = 1000
"""Characters of a line, or of an example, that is read."""
_AROUND = {
    *("abs", "all", "any", "bool", "dict", "float", "frozenset", "int", "len", "list", "max", "min", "range"),
    *("repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip"),
}
"""Builtins that may stand in an example."""
_PARTS: tuple[type[ast.AST], ...] = (
    *(ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict),
    *(ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.Subscript, ast.Slice),
)


_AFTER_AN_EXAMPLE = (">>>", '"""', "'''", "```")


class Stub(NamedTuple):
    """A problem as the head of its function."""

    statement: str
    """What the docstring says, examples too."""
    code: str


@lru_cache(maxsize=256)
def asserts_in(code: str) -> tuple[str, ...]:
    """The examples in the docstrings of `code`'s functions, each as an assert that compares with a literal.

    A docstring whose `>>>` examples build on each other (`>>> x = 1`) or name an error gives none.
    """
    tree = parsed(code) or parsed(f"{code.rstrip()}\n    pass\n")
    found: list[str] = []
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node) or ""
            found += _doctests(docstring, node.name) if ">>>" in docstring else _lines(docstring, node.name)
    return tuple(found)


def without_examples(statement: str) -> str:
    """A statement without its `>>>` examples, each of which ends with an empty line; as it is where nothing is left."""
    kept, within = [], False
    for line in statement.split("\n"):
        within = line.lstrip().startswith(">>>") or (within and bool(line.strip()))
        kept += [] if within else [line]
    return "\n".join(kept).strip() or statement


def without_asserts(text: str, asserts: Sequence[str]) -> str:
    """A text without the lines of those examples that `asserts_in` gives as one of these asserts."""
    names = {
        node.id
        for one in asserts
        if (tree := parsed(one)) is not None
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
    }
    lines, kept, at = text.split("\n"), [], 0
    while at < len(lines):
        end = _end_of_example(lines, at)
        example = "\n".join(line.strip() for line in lines[at:end])
        find = _doctests if ">>>" in example else _lines
        if not any(one in asserts for name in names for one in find(example, name)):
            kept += lines[at:end]
        at = end
    return "\n".join(kept)


def _end_of_example(lines: Sequence[str], start: int) -> int:
    """The line behind a `>>>` example and what it gives; the next line where none begins."""
    end = start + 1
    if lines[start].lstrip().startswith(">>>"):
        while end < len(lines) and not lines[end].lstrip().startswith(_AFTER_AN_EXAMPLE):
            if not lines[end].strip():
                break
            end += 1
    return end


def as_stub(head: str, statement: str, examples: Sequence[str]) -> Stub | None:
    """A function's head (`def f(x):`) with statement and examples as its docstring, as HumanEval poses a problem.

    None where an example is more than a call with values that is compared with a literal, where the text cannot stand
    between three quotes as it is, and where the head uses names that are not there.
    """
    lines = statement.strip().split("\n")
    for example in examples:
        shown = _shown(example)
        if shown is None:
            return None
        lines += shown
    text = "\n".join(lines)
    indented = "\n".join(f"    {line}".rstrip() for line in lines).lstrip()
    code = f'{head}\n    """ {indented}\n    """\n'
    if '"""' in text or "\\" in text or not _stands_alone(head):
        return None
    return Stub(text, code) if _trees(asserts_in(code)) == _trees(examples) else None


def _stands_alone(head: str) -> bool:
    tree = parsed(f"{head} pass")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} if tree else {""}
    return all(hasattr(builtins, name) for name in names)


def _trees(asserts: Sequence[str]) -> list[str]:
    trees = map(parsed, asserts)
    return [ast.dump(tree) if tree else "" for tree in trees]


def _lines(docstring: str, name: str) -> list[str]:
    """The lines that begin with a call of the function and end with a literal."""
    found = []
    for line in docstring.splitlines():
        text = line.strip().removeprefix("- ").removeprefix("* ")
        if not text.startswith(f"{name}(") or len(text) > _LONGEST:
            continue
        for between in islice(_GIVES.finditer(text), 8):
            call = _call(text[: between.start()].strip(), name)
            want = _literal(text[between.end() :].strip().removesuffix("."))
            if call and want:
                found.append(f"assert {call} == {want}")
                break
    return found


def _doctests(docstring: str, name: str) -> list[str]:
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:  # lines that are indented less than their example
        return []
    found = []
    for example in examples:
        tree = parsed(example.source)
        if example.exc_msg is not None or tree is None or not isinstance(tree.body[0], ast.Expr):
            return []
        call, want = _call(example.source.strip(), name), _literal(example.want.strip())
        if call and want and not example.options:
            found.append(f"assert {call} == {want}")
    return found


def _shown(example: str) -> list[str] | None:
    """The lines of an example in a docstring."""
    tree = parsed(example)
    test = (
        tree.body[0].test if tree and len(tree.body) == 1 and isinstance(tree.body[0], ast.Assert) else None
    )
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return None
    call, want = ast.get_source_segment(example, test.left), _literal(_unparsed(test.comparators[0]))
    return [f">>> {_in_one_line(call)}", want] if call and want else None


def _call(text: str, name: str) -> str:
    """A call of the function with values in it, in one line; empty where the text is anything else."""
    tree = parsed(text) if len(text) <= _LONGEST else None
    first = tree.body[0] if tree and len(tree.body) == 1 else None
    call = first.value if isinstance(first, ast.Expr) else None
    if not isinstance(call, ast.Call) or not all(isinstance(node, _PARTS) for node in ast.walk(call)):
        return ""
    names = [node.id for node in ast.walk(call) if isinstance(node, ast.Name)]
    if names.count(name) != 1 or not {*names} - {name} <= _AROUND:
        return ""
    return _in_one_line(ast.get_source_segment(text, call) or "")


def _in_one_line(source: str) -> str:
    if "\n" not in source:
        return source
    tree = parsed(source)
    return _unparsed(tree) if tree else ""


def _literal(text: str) -> str:
    """A literal as Python writes it, in one line; empty where it is none."""
    if len(text) > _LONGEST or "..." in text:
        return ""
    try:
        literal_value(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return ""
    tree = parsed(text.strip())
    first = tree.body[0] if tree else None
    return _unparsed(first.value) if isinstance(first, ast.Expr) else ""


def _unparsed(node: ast.AST) -> str:
    """The source of a tree; empty where Python cannot write what it has read (a number of 5,000 digits)."""
    try:
        return ast.unparse(node)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""

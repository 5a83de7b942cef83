"""Examples in a docstring (`>>> f(1)` above what it gives, or `f(1) => 2`) and assert statements: each as the other."""

import ast
import doctest
import re
from collections.abc import Sequence
from typing import NamedTuple

from verl_coder.syntax import literal_value, parse_python, parsed

_GIVES = re.compile(r"\s*(?:-+>|=+>|==|[➞→➡]|should return|returns?)\s*")
"""What stands between a call and its result where no `>>>` does; a single `=` makes a formula."""


class Stub(NamedTuple):
    """A problem as the head of its function."""

    statement: str
    """What the docstring says, examples too."""
    code: str


def asserts_in(code: str) -> tuple[str, ...]:
    """The examples in the docstrings of `code`'s functions, each as an assert that compares with a literal.

    A docstring whose `>>>` examples build on each other (`>>> x = 1`) or name an error gives none.
    """
    tree = parsed(code) or parsed(f"{code.rstrip()}\n    pass\n")
    functions = [node for node in (ast.walk(tree) if tree else ()) if isinstance(node, ast.FunctionDef)]
    found: list[str] = []
    for node in functions:
        docstring = ast.get_docstring(node) or ""
        found += _doctests(docstring) if ">>>" in docstring else _lines(docstring, node.name)
    return tuple(found)


def as_stub(head: str, statement: str, examples: Sequence[str]) -> Stub | None:
    """A function's head (`def f(x):`) with statement and examples as its docstring, as HumanEval poses a problem.

    None where an example is more than a call that is compared with a literal, or where the text cannot stand
    between three quotes as it is.
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
    if '"""' in text or "\\" in text or len(asserts_in(code)) != len(examples):
        return None
    return Stub(text, code)


def _lines(docstring: str, name: str) -> list[str]:
    """The lines that begin with a call of the function and end with a literal."""
    found = []
    for line in docstring.splitlines():
        text = line.strip().removeprefix("- ").removeprefix("* ")
        for between in _GIVES.finditer(text) if text.startswith(f"{name}(") else ():
            call, want = text[: between.start()], _literal(text[between.end() :].rstrip("."))
            if want and _is_call_with_literals(call):
                found.append(f"assert {call} == {want}")
                break
    return found


def _is_call_with_literals(text: str) -> bool:
    tree = parsed(text)
    call = tree.body[0].value if tree and len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) else None
    if not isinstance(call, ast.Call) or "#" in text:
        return False
    return all(_literal(ast.unparse(one)) for one in [*call.args, *(word.value for word in call.keywords)])


def _doctests(docstring: str) -> list[str]:
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:  # lines that are indented less than their example
        return []
    found = []
    for example in examples:
        source = example.source.strip()
        if example.exc_msg is not None or not _is_expression(source):
            return []
        if want := _literal(example.want.strip()):
            found.append(f"assert {_in_one_line(source)} == {want}")
    return found


def _shown(example: str) -> list[str] | None:
    """The lines of an example in a docstring."""
    tree = parsed(example)
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Assert):
        return None
    test = tree.body[0].test
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return None
    call, want = test.left, _literal(ast.unparse(test.comparators[0]))
    source = ast.get_source_segment(example, call) or ""
    return [f">>> {_in_one_line(source)}", want] if want and isinstance(call, ast.Call) else None


def _in_one_line(source: str) -> str:
    return source if "\n" not in source else ast.unparse(parse_python(source))


def _is_expression(source: str) -> bool:
    tree = parsed(source)
    return tree is not None and len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr)


def _literal(text: str) -> str:
    """A literal as Python writes it, in one line; empty where it is none."""
    try:
        literal_value(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return ""
    tree = parsed(text.strip())
    first = tree.body[0] if tree and "..." not in text else None
    return ast.unparse(first.value) if isinstance(first, ast.Expr) else ""

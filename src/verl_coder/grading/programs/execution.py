"""Tests that run text: what comes from the solution must not run in the judge; only arithmetic and known names do."""

import ast
import sys
import types
from functools import lru_cache
from typing import Any

from verl_coder.grading.programs.failures import Unsplittable
from verl_coder.grading.programs.looks import look_through_stand_ins
from verl_coder.grading.programs.proxies import Remote

_PLAIN = (
    ast.Expression,
    ast.Constant,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.Set,
    ast.Name,
    ast.Call,
    ast.keyword,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
)
_PURE: dict[str, Any] = {
    kind.__name__: kind
    for kind in (abs, bool, dict, float, int, len, list, max, min, round, set, str, sum, tuple)
}
_TEXT_RUNNERS = {
    "pickle": ("loads", "load", "Unpickler"),
    "marshal": ("loads", "load"),
    "shelve": ("open",),
    "doctest": ("testmod", "run_docstring_examples", "DocTestRunner", "DocTestFinder"),
    "runpy": ("run_path", "run_module"),
}


def guarded_names(names: dict[str, Any], text: str) -> dict[str, Any]:
    """`eval`, `exec` and `compile` for the tests of this `text`; modules that it mentions lose what runs data as text.

    What stands in the tests as a literal is their own and runs as ever; `names` are the globals of the tests.
    """
    for module, functions in _TEXT_RUNNERS.items():
        if module in text:
            found = __import__(module)
            for name in functions:
                setattr(found, name, _refuse(f"{module}.{name}"))

    look_through_stand_ins(text)

    def of_the_tests(source: Any) -> bool:
        # Code objects do not travel, so one that is here was made here.
        return isinstance(source, types.CodeType) or source in _literals(text)

    def evaluate(source: Any, globals: Any = None, locals: Any = None, /) -> Any:
        if of_the_tests(source):
            return eval(source, *_places(globals, locals))
        return _calculate(source, {**_PURE, **names, **(globals or {}), **(locals or {})})

    def execute(source: Any, globals: Any = None, locals: Any = None, /) -> None:
        if not of_the_tests(source):
            _refuse("exec")()
        exec(source, *_places(globals, locals))

    def compile_own(source: Any, *args: Any, **kwargs: Any) -> Any:
        if not of_the_tests(source):
            _refuse("compile")()
        return compile(source, *args, **kwargs)

    guarded = {"eval": evaluate, "exec": execute, "compile": compile_own}
    return {name: function for name, function in guarded.items() if f"{name}(" in text}


def _places(globals: Any, locals: Any) -> tuple[Any, Any]:
    """Where text runs: in what is given, else where the tests stand."""
    frame = sys._getframe(2)
    where = frame.f_globals if globals is None else globals
    return where, (frame.f_locals if globals is None else globals) if locals is None else locals


@lru_cache(maxsize=1)
def _literals(text: str) -> frozenset[Any]:
    tree = ast.parse(text)
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return frozenset(value for value in values if isinstance(value, (str, bytes)))


def _calculate(source: Any, known: dict[str, Any]) -> Any:
    if not isinstance(source, str):
        _refuse("eval")()
    tree = ast.parse(source.strip(), mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, _PLAIN) or (isinstance(node, ast.Call) and not _may_call(node.func, known)):
            _refuse("eval")()
    return eval(compile(tree, "<text>", "eval"), {"__builtins__": {}, **known})


def _may_call(node: ast.expr, known: dict[str, Any]) -> bool:
    if not isinstance(node, ast.Name):
        return False
    return node.id in known and (known[node.id] is _PURE.get(node.id) or isinstance(known[node.id], Remote))


def _refuse(name: str) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise Unsplittable(f"the tests run text or data by {name}, which may be the solution's")

    return refuse
